/** Work that is told apart from what it costs to hand its tokens over. */
export interface TokenLoop {
  /** How many tokens there are. */
  readonly count: number
  /** A new string each time, as a server cuts it out of a request. */
  tokenAt(index: number): string
}

/** So often between two looks at the clock. */
const timesEach = 256

/**
 * Nanoseconds of processor time of one verification of tokens that come in no order, without those that it takes to
 * make the string. Both are measured in turns.
 */
export function nanosecondsOf(
  { count, tokenAt }: TokenLoop,
  verify: (token: string) => unknown,
  duration_s: number,
  nowMs = processorTimeMs,
): number {
  const run = (work: () => void, part_s: number) => nanosecondsEach(work, part_s, nowMs)
  const order = shuffled(count)
  let at = 0
  const next = () => {
    at = at + 1 === count ? 0 : at + 1
    return tokenAt(order[at] as number)
  }
  let made = 0
  const makeOnly = () => {
    made += next().length
  }
  const whole = () => verify(next())
  run(whole, duration_s / 4)
  const makes_ns: number[] = []
  const wholes_ns: number[] = []
  for (let part = 0; part < 4; part++) {
    makes_ns.push(run(makeOnly, duration_s / 16))
    wholes_ns.push(run(whole, duration_s / 4))
  }
  if (made === 0) throw new Error('there were no tokens')
  return mean(wholes_ns) - mean(makes_ns)
}

function nanosecondsEach(work: () => void, duration_s: number, nowMs: () => number): number {
  const start = nowMs()
  let times = 0
  let elapsedMs = 0
  while (elapsedMs < 1000 * duration_s) {
    for (let time = 0; time < timesEach; time++) work()
    times += timesEach
    elapsedMs = nowMs() - start
  }
  return (1e6 * elapsedMs) / times
}

/** Of this process: what others do meanwhile is no part of it. */
function processorTimeMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** All numbers below a count (Fisher and Yates). */
function shuffled(count: number): Uint32Array {
  const all = Uint32Array.from({ length: count }, (_, index) => index)
  for (let last = count - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1))
    const held = all[last] as number
    all[last] = all[other] as number
    all[other] = held
  }
  return all
}
