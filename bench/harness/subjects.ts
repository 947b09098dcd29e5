import type { LoadOrder, LoadOutcome } from './load.ts'
import { type Server, startProgram } from './processes.ts'
import type { Bench, Readings, Subject } from './scenario.ts'
import type { Traffic } from './traffic.ts'

export interface ServedSubject {
  readonly name: string
  readonly limit?: string
  /** Called in each round, so that each round finds fresh data. */
  start(): Promise<Server>
  /** Rejects when the server does not do what it is measured for. Asked before the load. */
  check?(url: string): Promise<void>
  traffic(): Traffic
  /** How many requests a second; without it as many as are answered. */
  readonly perSecond?: number
  /** Another load at the same time, of which only the answers are counted. */
  readonly beside?: BesideLoad
}

export interface BesideLoad {
  traffic(): Traffic
  readonly connections: number
  /** Accepted statuses besides 200. */
  readonly refusals: readonly number[]
}

/** A server under load: the server on one core, the load on another, both fresh in each round. */
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

/** A program of the benchmark that works without a server, on the server's core, and says its readings. */
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
