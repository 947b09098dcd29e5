/** Seconds that a chart shows. */
export const shownSeconds = 60

/** What happened within one second. */
export interface Second {
  readonly answers: ReadonlyMap<string, number>
  readonly failures: number
}

const nothing: Second = { answers: new Map(), failures: 0 }

/** Counts answers by replica, and failures, by the second. */
export class Statistics {
  readonly #totals = new Map<string, number>()
  readonly #seconds = new Map<number, { answers: Map<string, number>; failures: number }>()
  #failures = 0

  get failures(): number {
    return this.#failures
  }

  /** How many answers each replica has given, of all that have. */
  get totals(): ReadonlyMap<string, number> {
    return this.#totals
  }

  answered(replica: string, nowMs: number): void {
    this.#totals.set(replica, (this.#totals.get(replica) ?? 0) + 1)
    const { answers } = this.#at(nowMs)
    answers.set(replica, (answers.get(replica) ?? 0) + 1)
  }

  failed(nowMs: number): void {
    this.#failures++
    this.#at(nowMs).failures++
  }

  /** The last whole seconds, oldest first. */
  shown(nowMs: number): readonly Second[] {
    const now = Math.floor(nowMs / 1000)
    return Array.from(
      { length: shownSeconds },
      (_, at) => this.#seconds.get(now - shownSeconds + at) ?? nothing,
    )
  }

  #at(nowMs: number) {
    const second = Math.floor(nowMs / 1000)
    let found = this.#seconds.get(second)
    if (found === undefined) {
      found = { answers: new Map(), failures: 0 }
      this.#seconds.set(second, found)
      this.#seconds.delete(second - shownSeconds - 2)
    }
    return found
  }
}
