import type { Clock } from '../../core/clock.ts'
import { GatepassError } from '../../core/errors.ts'

export interface GateLimits {
  readonly maxConcurrent: number
  readonly maxQueued: number
  /** Who has waited so long is refused; who would have to is refused at once. */
  readonly maxWaitMs: number
  /** While others wait, so many finished works at most are answered together; 1. */
  readonly togetherMax?: number
}

/** What a work is taken to last before one has been seen. */
const firstGuessMs = 50
/** The weight of the newest duration in the running average. */
const newestWeight = 0.1
/** A clock that jumps must not close the gate for long: no work counts for more than so many waits. */
const durationMax_waits = 10
const retryAfterMax_s = 60

/** One who waits for a place. */
interface Waiter {
  enter(): void
}

/**
 * Lets so many works run at once and some more wait, in order, and refuses the rest. A refused
 * caller costs nothing; one accepted and then kept waiting for minutes costs memory.
 *
 * The queue is never longer than what can be served in `maxWaitMs`. So first in, first out is fair
 * and wastes nothing: whoever is let in is served in time. (Last in, first out answers more of a
 * queue that is longer than that, by giving up those who came first.) The deadline is there for when
 * works take longer than they did before.
 */
export class Gate {
  readonly #limits: GateLimits
  readonly #clock: Clock
  /** In the order in which they came. */
  readonly #waiting = new Set<Waiter>()
  /** Whose work is done, and who go on together. */
  #done: (() => void)[] = []
  #running = 0
  #averageMs = firstGuessMs

  constructor(limits: GateLimits, clock: Clock) {
    this.#limits = limits
    this.#clock = clock
  }

  /**
   * @throws `overloaded`, at once when the queue is too long or later when the deadline has passed;
   *   whatever the work throws
   */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.#enter()
    const startedAtMs = this.#clock.nowMs()
    try {
      return await work()
    } finally {
      this.#learn(this.#clock.nowMs() - startedAtMs)
      this.#leave()
      await this.#goOn()
    }
  }

  /**
   * What comes after a work that has used up the caches of the processor is slow the first time, and
   * quick for those who come right behind. So they go together while there is a queue, half of it at
   * most: nobody is held back for longer than others wait anyway. Whoever is held has one behind them
   * whose work is going on, and will let them go.
   */
  #goOn(): Promise<void> | undefined {
    const { togetherMax = 1 } = this.#limits
    const together = Math.min(togetherMax, Math.ceil((this.#waiting.size + this.#done.length) / 2))
    if (this.#done.length + 1 < together) {
      return new Promise((resolve) => this.#done.push(resolve))
    }
    const done = this.#done
    this.#done = []
    for (const goOn of done) goOn()
    return undefined
  }

  async #enter(): Promise<void> {
    const { maxConcurrent, maxQueued, maxWaitMs } = this.#limits
    if (this.#running < maxConcurrent) {
      this.#running += 1
      return
    }
    const length = this.#waiting.size
    if (length >= maxQueued || this.#waitMs(length + 1) > maxWaitMs) throw this.#overloaded()
    await this.#wait(maxWaitMs)
  }

  #wait(maxWaitMs: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiter = { enter: resolve }
    const deadline = setTimeout(() => {
      this.#waiting.delete(waiter)
      reject(this.#overloaded())
    }, maxWaitMs)
    this.#waiting.add(waiter)
    return promise.finally(() => clearTimeout(deadline))
  }

  /** Hands the place to who waits longest, so that nobody who comes now can take it. */
  #leave(): void {
    const [next] = this.#waiting
    if (next === undefined) {
      this.#running -= 1
      return
    }
    this.#waiting.delete(next)
    next.enter()
  }

  #learn(tookMs: number): void {
    const { maxWaitMs } = this.#limits
    const durationMs = Math.min(Math.max(0, tookMs), durationMax_waits * maxWaitMs)
    this.#averageMs += (durationMs - this.#averageMs) * newestWeight
  }

  /** How long it takes until so many works have ended. */
  #waitMs(works: number): number {
    return (works * this.#averageMs) / this.#limits.maxConcurrent
  }

  /** Says to come again when the queue has emptied. */
  #overloaded(): GatepassError {
    const drain_s = Math.ceil(this.#waitMs(this.#waiting.size) / 1000)
    const retryAfter_s = Math.min(retryAfterMax_s, Math.max(1, drain_s))
    return new GatepassError('overloaded', { retryAfter_s })
  }
}
