/** How long a test waits for something that comes. On a loaded machine everything is slow; only a hang takes so long. */
export const patienceMs = 60_000

/** How much later than its deadline a call may end on a loaded machine. A call without one takes longer. */
export const lateMs = 20_000

/** Options of a store whose calls have to succeed. */
export const patient = { deadlineMs: patienceMs, openMs: patienceMs, timeoutMs: patienceMs }
