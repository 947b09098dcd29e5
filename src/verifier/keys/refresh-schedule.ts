import type { Clock } from '../../core/clock.ts'
import { wholeSeconds } from '../http-client.ts'

/** The least time between one fetch and the next for an unknown `kid`. */
export const cooldownMs = 5000
/** The part of its freshness after which a set is fetched again, to have a newer one in time. */
const refreshAfter = { min: 0.6, max: 0.8 }
/** How soon a fetch that failed is tried again; doubles with each failure. */
const firstRetryMs = 200
/** The longest wait after failures: while there are keys to serve with, and while there are none. */
const retryMaxMs = { withKeys: 30_000, without: cooldownMs }
/** For how long an issuer can ask to be left alone. */
const retryAfterMaxMs = 60_000

/**
 * When the keys are fetched next. Random parts keep replicas that were started together from asking
 * together, as from meeting again at an issuer that was away.
 */
export class RefreshSchedule {
  readonly #clock: Clock
  readonly #random: () => number
  #failures = 0
  /** When the last fetch ended; null before the first. */
  #endedMs: number | null = null
  #nextMs = 0
  /** Until then nothing is asked for an unknown `kid` either. */
  #quietUntilMs = 0

  /** @param random a number from 0 to 1 */
  constructor(clock: Clock, random: () => number) {
    this.#clock = clock
    this.#random = random
  }

  /** When the next fetch is due that nobody asks for. */
  get nextMs(): number {
    return this.#nextMs
  }

  succeeded(freshFor_s: number): void {
    this.#failures = 0
    const share = refreshAfter.min + (refreshAfter.max - refreshAfter.min) * this.#random()
    this.#ended(freshFor_s * 1000 * share, cooldownMs)
  }

  /** @param retryAfter the header of that name (RFC 9110 §10.2.3), if the issuer sent one */
  failed(hasKeys: boolean, retryAfter: string | null): void {
    const mostMs = hasKeys ? retryMaxMs.withKeys : retryMaxMs.without
    const backoffMs = Math.min(firstRetryMs * 2 ** this.#failures, mostMs)
    this.#failures += 1
    const askedMs = Math.min(this.#millisecondsOf(retryAfter), retryAfterMaxMs)
    const waitMs = Math.max(backoffMs * (0.5 + 0.5 * this.#random()), askedMs)
    this.#ended(waitMs, Math.max(Math.min(waitMs, cooldownMs), askedMs))
  }

  isDue(nowMs: number): boolean {
    return this.#endedMs !== null && this.#hasPassed(this.#nextMs, nowMs)
  }

  /** Whether a fetch for an unknown `kid` may be made, `longerMs` after it could be at first. */
  mayAsk(nowMs: number, longerMs = 0): boolean {
    return this.#hasPassed(this.#quietUntilMs + longerMs, nowMs)
  }

  #ended(waitMs: number, quietMs: number): void {
    const nowMs = this.#clock.nowMs()
    this.#endedMs = nowMs
    this.#nextMs = nowMs + waitMs
    this.#quietUntilMs = nowMs + quietMs
  }

  /** Whether an instant is over. If the clock was set back since the last fetch, every one is. */
  #hasPassed(instantMs: number, nowMs: number): boolean {
    return nowMs >= instantMs || nowMs < (this.#endedMs ?? 0)
  }

  #millisecondsOf(retryAfter: string | null): number {
    const seconds = wholeSeconds(retryAfter)
    if (seconds !== null) return seconds * 1000
    const instantMs = Date.parse(retryAfter ?? '')
    return Number.isNaN(instantMs) ? 0 : Math.max(0, instantMs - this.#clock.nowMs())
  }
}

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
