/** Runs events in the order of their times, without waiting. */
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

  /** Runs all events. Events of one time run in the order in which they were added. */
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
