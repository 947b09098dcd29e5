/** How long a test waits for an event. Even on a loaded machine, only a hang takes longer. */
export const patienceMs = 60_000

/** How long after its deadline a call may end on a loaded machine. A call without a deadline takes longer. */
export const lateMs = 20_000

/** Options of a store whose calls must succeed. */
export const patient = { deadlineMs: patienceMs, openMs: patienceMs, timeoutMs: patienceMs }
