/** The events of a key in its current window. */
export interface CounterWindow {
  readonly count: number
  /** Time until the window ends and the count starts from zero. */
  readonly resetsInMs: number
  /** The end of the window by the clock of the store. */
  readonly endsAtMs: number
}

/**
 * Counts events by key, atomically for all processes, in windows that start with the first event and follow
 * the clock of the machine or of the store. Every call throws `store_unavailable` if the store does not respond.
 */
export interface CounterStore {
  /** Returns the window of a key, which may have ended; null if there is none. */
  read(key: string): Promise<CounterWindow | null>
  /**
   * Adds one event.
   * @param windowMs the length of the window, if this event starts one
   * @param maxWindowMs a window that ends later than this does not count, and a new one replaces it
   */
  add(key: string, windowMs: number, maxWindowMs: number): Promise<CounterWindow>
  /**
   * Takes an event back. A no-op if another window has begun. A count of zero is removed: otherwise logins
   * that are refused under overload would fill the store.
   */
  takeBack(key: string, endsAtMs: number): Promise<void>
  /** Sets the count to zero. */
  reset(key: string): Promise<void>
  close(): Promise<void>
}

export interface CounterOptions {
  /** Separates the keys of this counter from those of other counters in the same store. */
  readonly name: string
  readonly limit: number
  readonly windowSeconds: number
}

/** The window after one event was added. */
export interface AddedCount extends CounterWindow {
  readonly isWithinLimit: boolean
  /** Takes the event back. A no-op once its window has ended. */
  takeBack(): Promise<void>
}

/**
 * A window that ends later than this beyond its whole length was dated by a clock that was ahead. It does not
 * count, or it would lock a user out for as long as that clock was ahead.
 */
const windowMarginMs = 60_000

/** Counts events of one kind. Keys are opaque and have at most 64 characters. */
export class Counter {
  readonly #store: CounterStore
  readonly #options: CounterOptions
  readonly #maxWindowMs: number

  constructor(store: CounterStore, options: CounterOptions) {
    this.#store = store
    this.#options = options
    this.#maxWindowMs = options.windowSeconds * 1000 + windowMarginMs
  }

  /** Returns the count without changing it; null if there is none. */
  async read(key: string): Promise<CounterWindow | null> {
    const found = await this.#store.read(this.#keyOf(key))
    const { resetsInMs = 0 } = found ?? {}
    return resetsInMs > 0 && resetsInMs <= this.#maxWindowMs ? found : null
  }

  /**
   * Adds one event.
   * @param windowSeconds the length of the window, if this event starts one
   */
  async add(key: string, windowSeconds = this.#options.windowSeconds): Promise<AddedCount> {
    const storeKey = this.#keyOf(key)
    const window = await this.#store.add(storeKey, windowSeconds * 1000, this.#maxWindowMs)
    return {
      ...window,
      isWithinLimit: window.count <= this.#options.limit,
      takeBack: () => this.#store.takeBack(storeKey, window.endsAtMs),
    }
  }

  /** Sets the count to zero. */
  reset(key: string): Promise<void> {
    return this.#store.reset(this.#keyOf(key))
  }

  #keyOf(key: string): string {
    return `${this.#options.name}:${key}`
  }
}
