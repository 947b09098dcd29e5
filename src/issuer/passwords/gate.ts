import type { Clock } from '../../core/clock.ts'
import { GatepassError } from '../../core/errors.ts'

export interface GateLimits {
  readonly maxConcurrent: number
  readonly maxQueued: number
}

/** What a work is taken to last before one has been seen. */
const firstGuessMs = 50
/** The weight of the newest duration in the running average. */
const newestWeight = 0.1
const retryAfterMax_s = 60

/**
 * Lets so many works run at once, so many more wait, first in first out, and refuses the rest.
 * A refused caller costs nothing; one accepted and then kept waiting for minutes costs memory.
 */
export class Gate {
  readonly #limits: GateLimits
  readonly #clock: Clock
  readonly #waiting: (() => void)[] = []
  #running = 0
  #averageMs = firstGuessMs

  constructor(limits: GateLimits, clock: Clock) {
    this.#limits = limits
    this.#clock = clock
  }

  /** @throws `overloaded` at once when the queue is full; whatever the work throws */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.#enter()
    const startedAtMs = this.#clock.nowMs()
    try {
      return await work()
    } finally {
      const tookMs = Math.max(0, this.#clock.nowMs() - startedAtMs)
      this.#averageMs += (tookMs - this.#averageMs) * newestWeight
      this.#leave()
    }
  }

  async #enter(): Promise<void> {
    if (this.#running < this.#limits.maxConcurrent) {
      this.#running += 1
      return
    }
    if (this.#waiting.length >= this.#limits.maxQueued) {
      throw new GatepassError('overloaded', { retryAfter_s: this.#drainTime_s() })
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  /** Hands the place to who waits longest, so that nobody who comes now can take it. */
  #leave(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#running -= 1
    else next()
  }

  /** How long the queue takes to empty. */
  #drainTime_s(): number {
    const drainMs = (this.#waiting.length * this.#averageMs) / this.#limits.maxConcurrent
    return Math.min(retryAfterMax_s, Math.max(1, Math.ceil(drainMs / 1000)))
  }
}
