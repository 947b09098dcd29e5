import { cooldownMs } from './refresh-schedule.ts'

/** The longest that a kid which is never found is not asked for again. */
const quietMaxMs = 60_000
/** So many kids are remembered; who sends more of them pushes out the oldest. */
const kidsMax = 1000

/**
 * The kids that were asked for and are not published, in memory that a flood of them cannot grow.
 *
 * A kid that was asked for in vain again and again (tokens of a key that is gone, somebody's
 * invention) is asked for less and less often: after a cooldown, twice that and so on, up to a
 * minute. So it does not make one request after another, and yet one that is published late is
 * found no later after it than it had been asked for before. Any newer keys make all forgotten.
 */
export class AbsentKids {
  readonly #timesMissed = new Map<string, number>()

  /** An issuer was asked for this `kid`, and answered without it. */
  missed(kid: string): void {
    const times = (this.#timesMissed.get(kid) ?? 0) + 1
    this.#timesMissed.delete(kid)
    this.#timesMissed.set(kid, times)
    if (this.#timesMissed.size <= kidsMax) return
    for (const oldest of this.#timesMissed.keys()) {
      this.#timesMissed.delete(oldest)
      return
    }
  }

  /** How much longer than a cooldown must pass before it is asked for again, in milliseconds. */
  extraQuietMs(kid: string): number {
    const times = this.#timesMissed.get(kid) ?? 1
    return Math.min(cooldownMs * 2 ** (times - 1), quietMaxMs) - cooldownMs
  }

  clear(): void {
    this.#timesMissed.clear()
  }
}
