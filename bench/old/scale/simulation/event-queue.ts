/** What is still to happen, the earliest first: a binary heap. */
export class EventQueue<T> {
  readonly #times: number[] = []
  readonly #events: T[] = []

  /** When the next one is; Infinity when there is none. */
  get next_s(): number {
    return this.#times[0] ?? Number.POSITIVE_INFINITY
  }

  add(at_s: number, event: T): void {
    let at = this.#times.length
    for (let parent = (at - 1) >> 1; at > 0; parent = (at - 1) >> 1) {
      const time = this.#times[parent] as number
      if (time <= at_s) break
      this.#times[at] = time
      this.#events[at] = this.#events[parent] as T
      at = parent
    }
    this.#times[at] = at_s
    this.#events[at] = event
  }

  /** @throws RangeError when there is none */
  take(): T {
    const [first] = this.#events
    const time = this.#times.pop()
    const event = this.#events.pop()
    if (time === undefined) throw new RangeError('nothing is to happen')
    if (this.#times.length > 0) this.#sink(time, event as T)
    return first as T
  }

  /** Puts the last one where the first was, and then below all that are earlier. */
  #sink(at_s: number, event: T): void {
    const length = this.#times.length
    let at = 0
    for (let child = 1; child < length; child = 2 * at + 1) {
      const right_s = this.#times[child + 1] ?? Number.POSITIVE_INFINITY
      const least = right_s < (this.#times[child] as number) ? child + 1 : child
      const time = this.#times[least] as number
      if (at_s <= time) break
      this.#times[at] = time
      this.#events[at] = this.#events[least] as T
      at = least
    }
    this.#times[at] = at_s
    this.#events[at] = event
  }
}
