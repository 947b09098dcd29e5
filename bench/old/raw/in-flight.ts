import { processorTime_s } from '../harness/process-figures.ts'
import type { Readings } from '../harness/scenario.ts'

/** So many works are under way at once, as from as many connections. */
const inFlight = 64

/** Does one work over and over, many at once, and tells the parent how often a second. */
export async function runInFlight(work: (lane: number) => Promise<unknown>): Promise<void> {
  const [warmup_s = 0, duration_s = 0] = process.argv.slice(2).map(Number)
  process.once('disconnect', () => process.exit())
  let done = 0
  let isOver = false
  const lanes = Array.from({ length: inFlight }, async (_, lane) => {
    for (; !isOver; done += 1) await work(lane)
  })
  const failed = Promise.all(lanes).then(() => {})
  const pause = (s: number) => new Promise<void>((resolve) => setTimeout(resolve, s * 1000))
  await Promise.race([pause(warmup_s), failed])
  const before = { done, at_s: performance.now() / 1000, busy_s: processorTime_s(process.pid) }
  await Promise.race([pause(duration_s), failed])
  const times = done - before.done
  const elapsed_s = performance.now() / 1000 - before.at_s
  const busy_s = processorTime_s(process.pid) - before.busy_s
  isOver = true
  await failed
  process.send?.({
    per_second: times / elapsed_s,
    per_core_second: times / busy_s,
    server_busy: busy_s / elapsed_s,
  } satisfies Readings)
}
