/**
 * How late the end of a call may be on a loaded machine, in milliseconds. A call without a deadline
 * takes longer, or for ever.
 */
export const lateMs = 20_000
