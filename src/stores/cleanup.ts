import type { Clock } from '../core/clock.ts'

/** Rows per slice: few enough that no request waits long for one. */
const sliceRows = 500
const intervalMs = 60_000
const pauseBetweenSlicesMs = 100

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
  let timer: NodeJS.Timeout
  let isStopped = false
  const removeSlice = async () => {
    let hasMore = false
    try {
      hasMore = await store.removeExpired(clock.nowMs(), sliceRows)
    } catch (error) {
      onError(error)
    }
    if (!isStopped) schedule(hasMore ? pauseBetweenSlicesMs : intervalMs)
  }
  const schedule = (delayMs: number) => {
    timer = setTimeout(removeSlice, delayMs).unref()
  }
  schedule(intervalMs)
  return {
    stop() {
      isStopped = true
      clearTimeout(timer)
    },
  }
}
