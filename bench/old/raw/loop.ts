import { timesVariable } from '../harness/cachegrind.ts'
import { countInstructions, countsInstructionsVariable } from '../harness/instructions.ts'
import { processorTime_s } from '../harness/process-figures.ts'
import type { Readings } from '../harness/scenario.ts'

/**
 * Does one work over and over, one at a time, and tells the parent how often a second.
 * @param timesEach how often between two looks at the clock
 */
export async function runLoop(work: () => unknown, timesEach = 1): Promise<void> {
  const [warmup_s = 0, duration_s = 0] = process.argv.slice(2).map(Number)
  process.once('disconnect', () => process.exit())
  const fixedTimes = process.env[timesVariable]
  if (fixedTimes !== undefined) {
    await doTimes(work, Number(fixedTimes))
    process.exit()
  }
  await repeat(work, warmup_s, timesEach)
  const isCounting = process.env[countsInstructionsVariable] !== undefined
  const count = isCounting ? await countInstructions(process.pid) : null
  const busyBefore_s = processorTime_s(process.pid)
  const { times, elapsed_s } = await repeat(work, duration_s, timesEach)
  const busy_s = processorTime_s(process.pid) - busyBefore_s
  const instructions = (await count?.stop()) ?? null
  process.send?.({
    per_second: times / elapsed_s,
    per_core_second: times / busy_s,
    server_busy: busy_s / elapsed_s,
    ...(instructions !== null && { instructions: instructions / times }),
  } satisfies Readings)
}

async function repeat(work: () => unknown, duration_s: number, timesEach: number) {
  const start = performance.now()
  let times = 0
  let elapsed_s = 0
  while (elapsed_s < duration_s) {
    await doTimes(work, timesEach)
    times += timesEach
    elapsed_s = (performance.now() - start) / 1000
  }
  return { times, elapsed_s }
}

async function doTimes(work: () => unknown, times: number): Promise<void> {
  for (let time = 0; time < times; time += 1) {
    const pending = work()
    // Waiting for what is there already would cost a turn of the microtask queue.
    if (pending instanceof Promise) await pending
  }
}
