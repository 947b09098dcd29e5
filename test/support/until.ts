import { setTimeout as sleep } from 'node:timers/promises'
import { patienceMs } from './patience.ts'

/** Waits for what no event tells of. Rejects when it does not come true. */
export async function until(
  what: string,
  check: () => boolean | Promise<boolean>,
  timeoutMs = patienceMs,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs
  while (!(await check())) {
    if (performance.now() > deadlineMs) throw new Error(`it did not come true: ${what}`)
    await sleep(5)
  }
}
