import type { Clock } from '../core/clock.ts'

/** Rows looked at in one step, so that a request never waits for long. */
const sliceRows = 500
const pauseMs = 60_000
const pauseWithinMs = 100

/** A store that some of what has expired can be removed from; true when there may be more. */
export interface Sweepable {
  removeExpired(nowMs: number, limit: number): Promise<boolean>
}

/**
 * Removes what has expired in the background, a slice at a time, round and round.
 *
 * @param onError told of a step that failed; it is tried again later
 */
export function startSweep(
  store: Sweepable,
  clock: Clock,
  onError: (error: unknown) => void,
): { stop(): void } {
  let timer: NodeJS.Timeout
  let isStopped = false
  const step = async () => {
    let more = false
    try {
      more = await store.removeExpired(clock.nowMs(), sliceRows)
    } catch (error) {
      onError(error)
    }
    if (!isStopped) schedule(more ? pauseWithinMs : pauseMs)
  }
  const schedule = (delayMs: number) => {
    timer = setTimeout(step, delayMs)
    timer.unref()
  }
  schedule(pauseMs)
  return {
    stop() {
      isStopped = true
      clearTimeout(timer)
    },
  }
}
