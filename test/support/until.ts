import { setTimeout as sleep } from 'node:timers/promises'
import { patienceMs } from './patience.ts'

/** The longest pause between two checks. */
const maxPauseMs = 50

/** Waits until a check succeeds. Rejects after a timeout. */
export async function until(
  what: string,
  check: () => boolean | Promise<boolean>,
  timeoutMs = patienceMs,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs
  for (let pauseMs = 5; !(await check()); pauseMs = Math.min(2 * pauseMs, maxPauseMs)) {
    if (performance.now() > deadlineMs) throw new Error(`it did not become true: ${what}`)
    await sleep(pauseMs)
  }
}
