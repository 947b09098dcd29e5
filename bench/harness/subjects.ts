import type { LoadOrder, LoadOutcome } from './load.ts'
import { type Server, startProgram } from './processes.ts'
import type { Bench, Readings, Subject } from './scenario.ts'
import type { Traffic } from './traffic.ts'

export interface ServedSubject extends Omit<Subject, 'measure'> {
  /** Called in each round, for fresh data. */
  start(): Promise<Server>
  /** Rejects if the server does not do the measured work. Called before the load. */
  check?(url: string): Promise<void>
  traffic(url: string): Traffic | Promise<Traffic>
}

/** Measures a server on one core with the load on another core, both fresh in each round. */
export function serverSubject(subject: ServedSubject, bench: Bench): Subject {
  const { name, comparedWith, start, check, traffic } = subject
  return {
    name,
    comparedWith,
    async measure() {
      const server = await start()
      const load = startProgram('harness/load', [], bench, { core: 'load' })
      try {
        await check?.(server.url)
        const order = { server, options: bench.options, traffic: await traffic(server.url) }
        load.send(order satisfies LoadOrder)
        const outcome = await load.message<LoadOutcome>()
        if ('failure' in outcome) throw new Error(`${name}: ${outcome.failure}`)
        return outcome.readings
      } finally {
        await load.stop()
        await server.stop()
      }
    },
  }
}

/** Measures a program that is no server, on the core of servers. It sends its readings. */
export function loopSubject(
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
