import type { Clock } from '../../core/clock.ts'
import { wholeSeconds } from '../error-text.ts'

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
