import type { Clock } from '../core/clock.ts'

/** Rows per slice: few enough that no request waits long for one. */
const sliceRows = 500
const intervalMs = 60_000
const pauseBetweenSlicesMs = 100
/**
 * Rows must have expired by the time of each of these sweeps. Otherwise a clock that is ahead for some minutes
 * would remove rows that have not expired.
 */
const agreeingSweeps = 6

/** A store with rows that expire. */
export interface ExpiringStore {
  /** Removes some expired rows, looking at `limit` rows at most. Returns whether there may be more. */
  removeExpired(nowMs: number, limit: number): Promise<boolean>
}

/**
 * Removes expired rows in the background, a slice at a time.
 *
 * @param onError receives the error of a failed slice, which is tried again a minute later
 */
export function startCleanup(
  store: ExpiringStore,
  clock: Clock,
  onError: (error: unknown) => void,
): { stop(): void } {
  let isStopped = false
  let timesMs: number[] = []
  const sweep = () => {
    timesMs = [...timesMs, clock.nowMs()].slice(-agreeingSweeps)
    return removeSlice()
  }
  const removeSlice = async () => {
    let hasMore = false
    try {
      hasMore = await store.removeExpired(Math.min(...timesMs), sliceRows)
    } catch (error) {
      onError(error)
    }
    if (isStopped) return
    timer = hasMore
      ? setTimeout(removeSlice, pauseBetweenSlicesMs).unref()
      : setTimeout(sweep, intervalMs).unref()
  }
  let timer = setTimeout(sweep, intervalMs).unref()
  return {
    stop() {
      isStopped = true
      clearTimeout(timer)
    },
  }
}
