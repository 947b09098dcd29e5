export interface BatcherLimits {
  /** So many go together at most. With 1 each goes at once, by itself. */
  readonly itemsMax: number
  /** Nor do they weigh more than this together, unless one alone does. */
  readonly weightMax: number
}

interface Waiting<I, O> {
  readonly item: I
  resolve(answer: O): void
  reject(reason: unknown): void
}

/**
 * Sends what comes in one turn of the event loop as one call. What a call costs by itself, a deadline,
 * a command to be written and an answer to be waited for, many then pay together: under load that is
 * most of it.
 */
export class Batcher<I, O> {
  readonly #send: (items: readonly I[]) => Promise<readonly (O | Error)[]>
  readonly #limits: BatcherLimits
  #waiting: Waiting<I, O>[] = []
  #weight = 0

  /** @param send gives an answer for each item in their order; an Error is of that item alone */
  constructor(
    send: (items: readonly I[]) => Promise<readonly (O | Error)[]>,
    limits: BatcherLimits,
  ) {
    this.#send = send
    this.#limits = limits
  }

  add(item: I, weight: number): Promise<O> {
    const { itemsMax, weightMax } = this.#limits
    if (this.#weight + weight > weightMax) this.#flush()
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject })
      this.#weight += weight
      if (this.#waiting.length >= itemsMax) this.#flush()
      else if (this.#waiting.length === 1) setImmediate(() => this.#flush())
    })
  }

  async #flush(): Promise<void> {
    const batch = this.#waiting
    if (batch.length === 0) return
    this.#waiting = []
    this.#weight = 0
    try {
      const answers = await this.#send(batch.map(({ item }) => item))
      for (const [at, { resolve, reject }] of batch.entries()) {
        const answer = answers[at]
        if (answer instanceof Error) reject(answer)
        else resolve(answer as O)
      }
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }
}
