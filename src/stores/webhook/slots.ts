import { unavailable } from './failures.ts'

export interface SlotsOptions {
  /** How many works run at once. */
  readonly runningMax: number
  /** How many more wait, first in first out; the next one is refused. */
  readonly waitingMax: number
}

/** Bounds how much is under way: a burst waits its turn, and a flood is refused. */
export class Slots {
  readonly #options: SlotsOptions
  readonly #waiting = new Set<() => void>()
  #running = 0

  constructor(options: SlotsOptions) {
    this.#options = options
  }

  /**
   * @param signal its reason is thrown when it is aborted while the work waits
   * @throws `store_unavailable` when too many wait; whatever the work throws
   */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#options.runningMax) this.#running += 1
    else await this.#wait(signal)
    try {
      return await work()
    } finally {
      this.#leave()
    }
  }

  #wait(signal: AbortSignal): Promise<void> {
    if (this.#waiting.size >= this.#options.waitingMax) {
      throw unavailable('too many calls are waiting')
    }
    return new Promise((resolve, reject) => {
      const enter = () => {
        signal.removeEventListener('abort', giveUp)
        resolve()
      }
      const giveUp = () => {
        this.#waiting.delete(enter)
        reject(signal.reason)
      }
      this.#waiting.add(enter)
      signal.addEventListener('abort', giveUp, { once: true })
    })
  }

  /** Hands the slot to who waits longest, so that nobody who comes now can take it. */
  #leave(): void {
    const [next] = this.#waiting
    if (next === undefined) {
      this.#running -= 1
      return
    }
    this.#waiting.delete(next)
    next()
  }
}
