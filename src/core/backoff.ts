export interface BackoffLimits {
  /** Longest delay before the first retry, in milliseconds. It doubles with each further attempt. */
  readonly minMs: number
  /** Longest delay of all. */
  readonly maxMs: number
}

/**
 * Returns how long to wait before a retry: exponential backoff with jitter.
 *
 * Each delay is shortened at random by up to half, so that replicas do not retry at the same time.
 *
 * @param attempt the number of the failed attempt, from 0
 */
export function backoffMs(attempt: number, { minMs, maxMs }: BackoffLimits): number {
  const longestMs = Math.min(maxMs, minMs * 2 ** attempt)
  return longestMs * (0.5 + Math.random() / 2)
}
