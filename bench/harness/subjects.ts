import type { LoadOrder, LoadOutcome } from '../load/main.ts'
import type { Traffic } from '../load/traffic.ts'
import { Child } from './child.ts'
import type { Bench, Readings, Subject } from './scenario.ts'
import { type Server, type ServerSpec, startServer } from './server.ts'

export interface ServedSubject {
  readonly name: string
  /** Called at each round, so that it can lay out fresh data. */
  server(): ServerSpec
  traffic(): Traffic
  /** When fewer than the run's own. */
  readonly connections?: number
}

/** A server under load: the server on one core, the load on another, both fresh at each round. */
export function served(subject: ServedSubject, bench: Bench): Subject {
  return {
    name: subject.name,
    async measure() {
      const server = await startServer(subject.server(), bench)
      try {
        return await runLoad(subject, server, bench)
      } finally {
        await server.stop()
      }
    },
  }
}

async function runLoad(subject: ServedSubject, server: Server, bench: Bench): Promise<Readings> {
  const { duration_s, warmup_s, connections } = bench.options
  const order: LoadOrder = {
    url: server.url,
    serverPid: server.pid,
    connections: subject.connections ?? connections,
    duration_s,
    warmup_s,
    traffic: subject.traffic(),
  }
  const module = new URL('../load/main.ts', import.meta.url)
  const load = new Child({ name: `load on ${subject.name}`, module, core: 'load' }, bench.cores)
  try {
    load.send(order)
    const outcome = await load.message<LoadOutcome>()
    if ('failure' in outcome) throw new Error(`${subject.name}: ${outcome.failure}`)
    return outcome.readings
  } finally {
    await load.stop()
  }
}

export interface LoopSubject {
  readonly name: string
  /** A module that runs one work over and over by way of `raw/loop.ts`. */
  readonly module: URL
}

/** A piece of work without a server, on the server's core: what no server can be faster than. */
export function loop({ name, module }: LoopSubject, bench: Bench): Subject {
  return {
    name,
    async measure() {
      const { warmup_s, duration_s } = bench.options
      const args = [String(warmup_s), String(duration_s)]
      const child = new Child({ name, module, args, core: 'server' }, bench.cores)
      try {
        return await child.message<Readings>()
      } finally {
        await child.stop()
      }
    },
  }
}
