/**
 * Remembers the ids of accepted messages for as long as a replay is possible. Several processes must
 * share these ids, for example in Redis (SET NX EX).
 */
export class SeenIds {
  /** The expiry of each id, oldest first, because all ids are remembered equally long. */
  readonly #until = new Map<string, number>()
  readonly #rememberedMs: number
  readonly #max: number

  constructor(rememberedMs: number, max: number) {
    this.#rememberedMs = rememberedMs
    this.#max = max
  }

  /** Remembers an id. Returns `seen` for a known id, and `full` when there is no room. */
  add(id: string, nowMs: number): 'new' | 'seen' | 'full' {
    for (const [oldest, untilMs] of this.#until) {
      if (untilMs > nowMs) break
      this.#until.delete(oldest)
    }
    if (this.#until.has(id)) return 'seen'
    // If it forgot the oldest ids instead, an attacker could fill the memory and replay messages.
    if (this.#until.size >= this.#max) return 'full'
    this.#until.set(id, nowMs + this.#rememberedMs)
    return 'new'
  }
}
