/** How long to wait before another attempt: twice as long after each failure, and never all at once. */
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
    const fullMs = Math.min(this.#firstMs * 2 ** this.#failures, this.#maxMs)
    this.#failures = Math.min(this.#failures + 1, 30)
    return jittered(fullMs, this.#random)
  }

  reset(): void {
    this.#failures = 0
  }
}

export function jittered(ms: number, random: () => number): number {
  return ms * (0.5 + random() / 2)
}
