import { backoffMs } from '../../core/backoff.ts'

/** Counts failures and returns the delay before the next attempt. */
export class Backoff {
  readonly #maxMs: number
  readonly #random: () => number
  #firstMs: number
  #failures = 0

  /** @param random a number from 0 to below 1 */
  constructor(firstMs: number, maxMs: number, random: () => number) {
    this.#firstMs = firstMs
    this.#maxMs = maxMs
    this.#random = random
  }

  /** What the other side asks for, within reason. */
  set firstMs(firstMs: number) {
    this.#firstMs = Math.min(Math.max(firstMs, 100), this.#maxMs)
  }

  /** The wait after one more failure: between half of it and all, so that many don't come at once. */
  nextMs(): number {
    const limits = { minMs: this.#firstMs, maxMs: this.#maxMs }
    const delayMs = backoffMs(this.#failures, limits, this.#random)
    this.#failures = Math.min(this.#failures + 1, 30)
    return delayMs
  }

  reset(): void {
    this.#failures = 0
  }
}
