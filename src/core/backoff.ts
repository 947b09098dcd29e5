export interface BackoffLimits {
  /** Longest delay before the first retry, in milliseconds. It doubles with each further attempt. */
  readonly minMs: number
  /** Longest delay of all. */
  readonly maxMs: number
}

/**
 * Returns how long to wait before a retry: exponential backoff with jitter.
 *
 * @param attempt the number of the failed attempt, from 0
 * @param random returns a number from 0 to below 1
 */
export function backoffMs(
  attempt: number,
  { minMs, maxMs }: BackoffLimits,
  random = Math.random,
): number {
  return jittered(Math.min(maxMs, minMs * 2 ** attempt), random)
}

/** Shortens a delay at random by up to half, so that replicas do not retry at the same time. */
export function jittered(ms: number, random = Math.random): number {
  return ms * (0.5 + random() / 2)
}
