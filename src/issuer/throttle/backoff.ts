import type { Counter, CounterStore } from '../../stores/counter-store.ts'

/** How many failed attempts there may be, and how those beyond are slowed down. */
export interface BackoffRules {
  /** So many attempts are let through at once, in each window. */
  readonly free: number
  readonly freeWindowSeconds: number
  /** Each one beyond is followed by a pause: 1 s, then twice as long each time, to this. */
  readonly maxPauseSeconds: number
  /** How long after the first of those the pauses begin at 1 s again, and there are free ones. */
  readonly memorySeconds: number
}

/** Where a key stands before an attempt. */
export interface Standing {
  /** How long until the next attempt is let through. */
  readonly waitMs: number
  /** How many attempts there were beyond the free ones. */
  readonly level: number
}

/** An attempt that was let through, and counts as failed until it turns out otherwise. */
export interface Taken {
  /** Whether the next one has to wait. */
  readonly isLast: boolean
  /** It was no failure: all is as if it had not been. */
  giveBack(): Promise<void>
  /** Forgets the failures before it too. */
  forgive(): Promise<void>
}

/**
 * A limit on attempts by key, with a growing pause. An attempt is counted when it begins: of a
 * hundred that arrive at once, no more are let through than of a hundred that arrive in turn.
 */
export class Backoff {
  readonly #rules: BackoffRules
  readonly #free: Counter
  /** Attempts beyond the free ones: the exponent of the pause. */
  readonly #levels: Counter
  /** One attempt a pause: whoever adds the first has the turn. */
  readonly #turns: Counter

  /** @param name tells its keys from those of other limits in the store */
  constructor(store: CounterStore, name: string, rules: BackoffRules) {
    const { free, freeWindowSeconds, maxPauseSeconds, memorySeconds } = rules
    this.#rules = rules
    const counter = (what: string, limit: number, window_s: number) =>
      store.counter({ name: `${name}.${what}`, limit, window_s })
    this.#free = counter('free', free, freeWindowSeconds)
    this.#levels = counter('level', Number.MAX_SAFE_INTEGER, memorySeconds)
    this.#turns = counter('turn', 1, maxPauseSeconds)
  }

  /** Changes nothing, so that who is refused anyway makes no work for the store. */
  async look(key: string): Promise<Standing> {
    const level = (await this.#levels.read(key))?.count ?? 0
    // Without the other there is none, or `take` will meet it.
    const turn = level > 0 ? await this.#turns.read(key) : null
    return { waitMs: turn?.resetsInMs ?? 0, level }
  }

  /**
   * Lets an attempt through, or says how long it has to wait in ms.
   * @param level as `look` has found it
   */
  async take(key: string, level: number): Promise<Taken | number> {
    if (level <= 0) {
      const free = await this.#free.add(key)
      if (free.isWithinLimit) {
        return {
          isLast: free.count >= this.#rules.free,
          giveBack: free.takeBack,
          forgive: () => this.#free.reset(key),
        }
      }
    }
    const turn = await this.#turns.add(key, Math.min(2 ** level, this.#rules.maxPauseSeconds))
    if (!turn.isWithinLimit) return turn.resetsInMs
    const raised = await this.#levels.add(key)
    const counters = [this.#free, this.#levels, this.#turns]
    return {
      isLast: true,
      giveBack: async () => {
        await Promise.all([raised.takeBack(), this.#turns.reset(key)])
      },
      forgive: async () => {
        await Promise.all(counters.map((counter) => counter.reset(key)))
      },
    }
  }
}
