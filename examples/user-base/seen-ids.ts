/**
 * Remembers the ids of accepted messages for as long as a replay is possible. Several processes must
 * share these ids, for example in Redis (SET NX EX).
 */
export class SeenIds {
  /** Id and until when it is remembered: the oldest first, as all are remembered equally long. */
  readonly #until = new Map<string, number>()
  readonly #rememberedMs: number
  readonly #max: number

  constructor(rememberedMs: number, max: number) {
    this.#rememberedMs = rememberedMs
    this.#max = max
  }

  /** Remembers an id; says `seen` for one that was, and `full` when there is no room for more. */
  add(id: string, nowMs: number): 'new' | 'seen' | 'full' {
    for (const [oldest, untilMs] of this.#until) {
      if (untilMs > nowMs) break
      this.#until.delete(oldest)
    }
    if (this.#until.has(id)) return 'seen'
    // To forget the oldest instead would open the door to those who fill the memory.
    if (this.#until.size >= this.#max) return 'full'
    this.#until.set(id, nowMs + this.#rememberedMs)
    return 'new'
  }
}
