export interface BatchLimits {
  /** Items per batch. With 1, each item is sent immediately. */
  readonly maxItems: number
  /** Total weight of a batch, unless one item alone exceeds it. Default: no limit. */
  readonly maxWeight?: number
  /**
   * How long items wait for the call in progress, in milliseconds, to be sent together: for calls that block
   * the next one anyway. Default: 0.
   */
  readonly maxHoldMs?: number
}

interface Entry<I, O> {
  readonly item: I
  resolve(result: O): void
  reject(reason: unknown): void
}

/**
 * Sends the items of one turn of the event loop as one call, or those that arrive during a call. The fixed
 * cost of a call, a deadline, a command and a reply, is most of the work under load.
 */
export class Batcher<I, O> {
  readonly #send: (items: readonly I[]) => Promise<readonly (O | Error)[]>
  readonly #limits: BatchLimits
  #entries: Entry<I, O>[] = []
  #weight = 0
  #calls = 0
  #hold: NodeJS.Timeout | undefined

  /** @param send returns a result per item, in order; an Error rejects its item alone */
  constructor(send: (items: readonly I[]) => Promise<readonly (O | Error)[]>, limits: BatchLimits) {
    this.#send = send
    this.#limits = limits
  }

  add(item: I, weight = 0): Promise<O> {
    const { maxItems, maxWeight = Number.POSITIVE_INFINITY } = this.#limits
    if (this.#weight + weight > maxWeight) this.flush()
    return new Promise((resolve, reject) => {
      this.#entries.push({ item, resolve, reject })
      this.#weight += weight
      if (this.#entries.length >= maxItems) this.flush()
      else if (this.#entries.length === 1) this.#schedule()
    })
  }

  #schedule(): void {
    const { maxHoldMs = 0 } = this.#limits
    const flush = () => void this.flush()
    if (maxHoldMs > 0 && this.#calls > 0) this.#hold = setTimeout(flush, maxHoldMs)
    else setImmediate(flush)
  }

  /** Sends the items that wait. Never rejects: each item has its own promise. */
  async flush(): Promise<void> {
    const batch = this.#entries
    if (batch.length === 0) return
    this.#entries = []
    this.#weight = 0
    clearTimeout(this.#hold)
    this.#calls += 1
    try {
      const results = await this.#send(batch.map(({ item }) => item))
      for (const [at, { resolve, reject }] of batch.entries()) {
        const result = results[at]
        if (result instanceof Error) reject(result)
        else resolve(result as O)
      }
    } catch (error) {
      for (const { reject } of batch) reject(error)
    } finally {
      this.#calls -= 1
      if (this.#limits.maxHoldMs) void this.flush()
    }
  }
}
