import type { Counter, CounterStore } from '../stores/counter-store.ts'

/** How many failed attempts are free, and how further ones are slowed down. */
export interface BackoffRules {
  /** Attempts per window without a pause. */
  readonly free: number
  readonly freeWindowSeconds: number
  /** Longest pause. The first is 1 s; each further attempt doubles it. */
  readonly maxPauseSeconds: number
  /** How long after the first pause the next pauses start at 1 s again. */
  readonly memorySeconds: number
}

/** The state of a key before an attempt. */
export interface BackoffState {
  /** Time until the next attempt is admitted. */
  readonly waitMs: number
  /** Attempts beyond the free ones. */
  readonly level: number
}

/** An attempt that was admitted. It counts as a failure until it is taken back or forgiven. */
export interface Admission {
  /** Whether no free attempt is left. Pauses begin with the attempt after the last free one. */
  readonly isLast: boolean
  /** Takes the attempt back, because it was not a failure. */
  takeBack(): Promise<void>
  /** Forgets this attempt and all failures before it. */
  forgive(): Promise<void>
}

/**
 * A limit on attempts per key, with exponential backoff.
 *
 * An attempt is counted when it begins, so attempts that arrive at the same time are admitted no more
 * often than attempts in sequence.
 */
export class LoginBackoff {
  readonly #rules: BackoffRules
  readonly #free: Counter
  /** The exponent of the pause: the number of attempts beyond the free ones. */
  readonly #levels: Counter
  /** Admits one attempt per pause. */
  readonly #pauses: Counter

  /** @param name separates its keys from those of other limits in the store */
  constructor(store: CounterStore, name: string, rules: BackoffRules) {
    const { free, freeWindowSeconds, maxPauseSeconds, memorySeconds } = rules
    this.#rules = rules
    const counter = (what: string, limit: number, windowSeconds: number) =>
      store.counter({ name: `${name}.${what}`, limit, windowSeconds })
    this.#free = counter('free', free, freeWindowSeconds)
    this.#levels = counter('level', Number.MAX_SAFE_INTEGER, memorySeconds)
    this.#pauses = counter('pause', 1, maxPauseSeconds)
  }

  /** Reads the state without a write, so that refused attempts do not load the store. */
  async read(key: string): Promise<BackoffState> {
    const level = (await this.#levels.read(key))?.count ?? 0
    // A pause begins a moment before its level. `admit` finds such a pause.
    const pause = level > 0 ? await this.#pauses.read(key) : null
    return { waitMs: pause?.resetsInMs ?? 0, level }
  }

  /**
   * Admits an attempt, or returns how long it has to wait in milliseconds.
   *
   * @param level as `read` returned it
   */
  async admit(key: string, level: number): Promise<Admission | number> {
    if (level <= 0) {
      const free = await this.#free.add(key)
      if (free.isWithinLimit) {
        return {
          isLast: free.count >= this.#rules.free,
          takeBack: free.takeBack,
          forgive: () => this.#free.reset(key),
        }
      }
    }
    const pause = await this.#pauses.add(key, Math.min(2 ** level, this.#rules.maxPauseSeconds))
    if (!pause.isWithinLimit) return pause.resetsInMs
    const raised = await this.#levels.add(key)
    const counters = [this.#free, this.#levels, this.#pauses]
    return {
      isLast: true,
      takeBack: async () => {
        await Promise.all([raised.takeBack(), this.#pauses.reset(key)])
      },
      forgive: async () => {
        await Promise.all(counters.map((counter) => counter.reset(key)))
      },
    }
  }
}
