/** Runs what is to happen in the order of its instants, one after the other, and waits for nothing. */
export class Timeline {
  nowMs: number
  readonly #events: { atMs: number; happen: () => unknown }[] = []

  constructor(startMs: number) {
    this.nowMs = startMs
  }

  at(atMs: number, happen: () => unknown): void {
    this.#events.push({ atMs, happen })
  }

  in(delayMs: number, happen: () => unknown): void {
    this.at(this.nowMs + delayMs, happen)
  }

  /** Until nothing is left. Of what is at one instant, that comes first which was put in first. */
  async run(): Promise<void> {
    for (;;) {
      this.#events.sort((a, b) => a.atMs - b.atMs)
      const next = this.#events.shift()
      if (next === undefined) return
      this.nowMs = Math.max(this.nowMs, next.atMs)
      await next.happen()
    }
  }
}
