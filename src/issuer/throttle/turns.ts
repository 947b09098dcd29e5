import { systemClock } from '../../core/clock.ts'
import { Gate } from '../passwords/gate.ts'

/**
 * Attempts of one account that this process looks at together. An attempt counts as failed until its
 * password was looked at, so more of them at once would use up what is free, though all are right.
 */
const limits = { maxConcurrent: 2, maxQueued: 256, maxWaitMs: 5_000 }

type Work = () => Promise<unknown>

/** Lets the attempts on one key go on a few at a time; the others wait for their turn. */
export class Turns {
  readonly #gates = new Map<string, { readonly gate: Gate<Work, unknown>; users: number }>()

  /** @throws `overloaded`; whatever the work throws */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const entry = this.#gates.get(key) ?? { gate: newGate(), users: 0 }
    this.#gates.set(key, entry)
    entry.users += 1
    try {
      return (await entry.gate.run(work)) as T
    } finally {
      entry.users -= 1
      if (entry.users === 0) this.#gates.delete(key)
    }
  }
}

function newGate(): Gate<Work, unknown> {
  return new Gate(limits, systemClock, (works) => Promise.allSettled(works.map((work) => work())))
}
