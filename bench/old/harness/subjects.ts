import type { LoadOrder, LoadOutcome } from '../load/main.ts'
import type { Traffic } from '../load/traffic.ts'
import { countByCachegrind } from './cachegrind.ts'
import { Child } from './child.ts'
import { countsInstructionsVariable } from './instructions.ts'
import type { Bench, Readings, Subject } from './scenario.ts'
import { type Server, type ServerSpec, startServer } from './server.ts'

export interface ServedSubject {
  readonly name: string
  /** Called at each round, so that it can lay out fresh data. */
  server(): ServerSpec | Promise<ServerSpec>
  /** Rejects when the server does not do what it is compared for. Asked before the load. */
  check?(url: string): Promise<void>
  traffic(): Traffic
  /** How many requests a second; without it as many as are answered. */
  readonly pace_per_second?: number
  /** What the server keeps its data in, where that is a process of its own. */
  readonly store?: { readonly pid: number }
  /** Another load at the same time; of it, only how much was answered is told. */
  readonly beside?: BesideLoad
}

export interface BesideLoad {
  traffic(): Traffic
  readonly connections: number
  /** What else than 200 an answer may be. */
  readonly refusals: readonly number[]
}

/** A server under load: the server on one core, the load on another, both fresh at each round. */
export function served(subject: ServedSubject, bench: Bench): Subject {
  return {
    name: subject.name,
    async measure() {
      const server = await startServer(await subject.server(), bench)
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
  const { duration_s, warmup_s, connections, countsInstructions = false } = bench.options
  const common = { url: server.url, serverPid: server.pid, duration_s, warmup_s }
  const { beside, pace_per_second, store } = subject
  const order: LoadOrder = {
    ...common,
    connections,
    traffic: subject.traffic(),
    countsInstructions,
    ...(pace_per_second !== undefined && { pace_per_second }),
    ...(store !== undefined && { storePid: store.pid }),
  }
  if (beside === undefined) return runLoad(subject.name, order, bench)
  const { refusals } = beside
  const other = { ...common, connections: beside.connections, traffic: beside.traffic(), refusals }
  const [readings, { per_second }] = await Promise.all([
    runLoad(subject.name, order, bench),
    runLoad(`${subject.name}, beside it`, other, bench),
  ])
  return { ...readings, ...(per_second !== undefined && { beside_per_second: per_second }) }
}

export async function runLoad(name: string, order: LoadOrder, bench: Bench): Promise<Readings> {
  const module = new URL('../load/main.ts', import.meta.url)
  const load = new Child({ name: `load on ${name}`, module, core: 'load' }, bench.cores)
  try {
    load.send(order)
    const outcome = await load.message<LoadOutcome>()
    if ('failure' in outcome) throw new Error(`${name}: ${outcome.failure}`)
    return outcome.readings
  } finally {
    await load.stop()
  }
}

export interface LoopSubject {
  readonly name: string
  /** A module that runs one work over and over by way of `raw/loop.ts`. */
  readonly module: URL
  readonly args?: readonly string[]
}

/** A piece of work without a server, on the server's core: what no server can be faster than. */
export function loop({ name, module, args = [] }: LoopSubject, bench: Bench): Subject {
  return {
    name,
    async measure() {
      const { warmup_s, duration_s, countsInstructions = false } = bench.options
      const all = [String(warmup_s), String(duration_s), ...args]
      const env = countsInstructions ? { [countsInstructionsVariable]: '1' } : {}
      const child = new Child({ name, module, args: all, env, core: 'server' }, bench.cores)
      try {
        return await child.message<Readings>()
      } finally {
        await child.stop()
      }
    },
    countInstructions: (times) => countByCachegrind(module, ['0', '0', ...args], times),
  }
}
