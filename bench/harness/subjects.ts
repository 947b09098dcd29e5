import type { LoadOrder, LoadOutcome } from './load.ts'
import { type Server, startProgram } from './processes.ts'
import type { Bench, Readings, Subject } from './scenario.ts'
import type { Traffic } from './traffic.ts'

export interface ServedSubject {
  readonly name: string
  readonly limit?: string
  /** Called in each round, for fresh data. */
  start(): Promise<Server>
  /** Rejects if the server does not do the measured work. Called before the load. */
  check?(url: string): Promise<void>
  traffic(): Traffic
  /** Requests per second. Default: as many as the server answers. */
  readonly perSecond?: number
  /** A second load, whose responses are only counted. */
  readonly beside?: BesideLoad
}

export interface BesideLoad {
  traffic(): Traffic
  readonly connections: number
  /** Accepted statuses besides 200. */
  readonly refusals: readonly number[]
}

/** Measures a server on one core with the load on another core, both fresh in each round. */
export function served(subject: ServedSubject, bench: Bench): Subject {
  const { name, limit } = subject
  return {
    ...{ name, ...(limit !== undefined && { limit }) },
    async measure() {
      const server = await subject.start()
      try {
        await subject.check?.(server.url)
        return await runLoads(subject, server, bench)
      } finally {
        await server.stop()
      }
    },
  }
}

async function runLoads(subject: ServedSubject, server: Server, bench: Bench): Promise<Readings> {
  const { duration_s, warmup_s, connections } = bench.options
  const common = { url: server.url, serverPid: server.pid, duration_s, warmup_s }
  const { beside, perSecond } = subject
  const order: LoadOrder = {
    ...common,
    connections,
    traffic: subject.traffic(),
    ...(perSecond !== undefined && { perSecond }),
    ...(server.storePid !== undefined && { storePid: server.storePid }),
  }
  if (beside === undefined) return runLoad(subject.name, order, bench)
  const other = { ...common, ...beside, traffic: beside.traffic() }
  const [readings, { per_second }] = await Promise.all([
    runLoad(subject.name, order, bench),
    runLoad(`${subject.name}, beside it`, other, bench),
  ])
  return { ...readings, ...(per_second !== undefined && { beside_per_second: per_second }) }
}

async function runLoad(name: string, order: LoadOrder, bench: Bench): Promise<Readings> {
  const load = startProgram('harness/load', [], bench, { core: 'load' })
  try {
    load.send(order)
    const outcome = await load.message<LoadOutcome>()
    if ('failure' in outcome) throw new Error(`${name}: ${outcome.failure}`)
    return outcome.readings
  } finally {
    await load.stop()
  }
}

/** Measures a program without a server, on the core of servers. It sends its readings. */
export function looped(
  name: string,
  program: string,
  args: readonly string[],
  bench: Bench,
): Subject {
  return {
    name,
    async measure() {
      const { warmup_s, duration_s } = bench.options
      const all = [String(warmup_s), String(duration_s), ...args]
      const loop = startProgram(program, all, bench)
      try {
        return await loop.message<Readings>()
      } finally {
        await loop.stop()
      }
    },
  }
}
