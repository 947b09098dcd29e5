import type { Logger } from 'pino'
import type { Clock } from '../core/clock.ts'
import type { SessionStore } from '../stores/ports.ts'

/** Rows looked at in one step, so that a request never waits for long. */
const sliceRows = 500
const pauseMs = 60_000

/** Removes expired sessions in the background, a slice at a time, round and round. */
export function startSweep(sessions: SessionStore, clock: Clock, logger: Logger): { stop(): void } {
  let timer: NodeJS.Timeout
  const step = async () => {
    let more = false
    try {
      more = await sessions.removeExpired(clock.nowMs(), sliceRows)
    } catch (error) {
      logger.warn({ err: error }, 'expired sessions could not be removed; trying again later')
    }
    schedule(more ? pauseMs / 600 : pauseMs)
  }
  const schedule = (delayMs: number) => {
    timer = setTimeout(step, delayMs)
    timer.unref()
  }
  schedule(pauseMs)
  return { stop: () => clearTimeout(timer) }
}
