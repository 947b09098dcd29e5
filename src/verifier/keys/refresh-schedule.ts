import { backoffMs } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import { LruCache } from '../../core/lru-cache.ts'
import { ResponseError } from '../http-client.ts'

/** Least time between one fetch and the next fetch for an unknown `kid`. */
const cooldownMs = 5000
/** A set is fetched again after this part of its freshness, so that the next set arrives in time. */
const refreshAfter = { min: 0.6, max: 0.8 }
/** Delay before the first retry of a failed fetch; it doubles with each failure. */
const firstRetryMs = 200
/** Longest delay between retries, with usable keys and without. */
const maxRetryMs = { withKeys: 30_000, without: cooldownMs }
/** Longest wait that an issuer can ask for with `Retry-After`. */
const maxRetryAfterMs = 60_000

/**
 * Decides when the keys are fetched next. Random delays spread the fetches of replicas that started
 * together, or lost the issuer together.
 */
export class RefreshSchedule {
  readonly #clock: Clock
  readonly #random: () => number
  #failures = 0
  /** End of the last fetch; null before the first. */
  #endedMs: number | null = null
  #nextMs = 0
  #cooldownUntilMs = 0

  /** @param random returns a number from 0 to below 1 */
  constructor(clock: Clock, random: () => number) {
    this.#clock = clock
    this.#random = random
  }

  /** When the next fetch is due without a token that asks for it. */
  get nextMs(): number {
    return this.#nextMs
  }

  succeeded(freshFor_s: number): void {
    this.#failures = 0
    const share = refreshAfter.min + (refreshAfter.max - refreshAfter.min) * this.#random()
    this.#ended(freshFor_s * 1000 * share, cooldownMs)
  }

  failed(hasKeys: boolean, error: Error): void {
    const maxMs = hasKeys ? maxRetryMs.withKeys : maxRetryMs.without
    const delayMs = backoffMs(this.#failures, { minMs: firstRetryMs, maxMs }, this.#random)
    this.#failures += 1
    const retryAfterMs = error instanceof ResponseError ? (error.retryAfterMs ?? 0) : 0
    const requestedMs = Math.min(retryAfterMs, maxRetryAfterMs)
    const waitMs = Math.max(delayMs, requestedMs)
    this.#ended(waitMs, Math.max(Math.min(waitMs, cooldownMs), requestedMs))
  }

  isDue(nowMs: number): boolean {
    return this.#endedMs !== null && this.#isOver(this.#nextMs, nowMs)
  }

  /** Whether the cooldown, and `extraMs` after it, allow a fetch for an unknown `kid`. */
  canFetch(nowMs: number, extraMs = 0): boolean {
    return this.#isOver(this.#cooldownUntilMs + extraMs, nowMs)
  }

  #ended(waitMs: number, pauseMs: number): void {
    const nowMs = this.#clock.nowMs()
    this.#endedMs = nowMs
    this.#nextMs = nowMs + waitMs
    this.#cooldownUntilMs = nowMs + pauseMs
  }

  /** If the clock was set back since the last fetch, every planned instant counts as reached. */
  #isOver(instantMs: number, nowMs: number): boolean {
    return nowMs >= instantMs || nowMs < (this.#endedMs ?? 0)
  }
}

/** Longest extra cooldown of a `kid` that is never found, with the cooldown itself. */
const maxUnknownCooldownMs = 60_000
const maxUnknownKids = 1000

interface UnknownKid {
  /** Number of fetches that brought a set without the `kid`. */
  readonly count: number
  readonly lastFetch: number
}

/**
 * The kids that were fetched for and are not published, in bounded memory.
 *
 * The cooldown of such a kid doubles with each fetch, up to a minute. Therefore tokens with a
 * removed or invented key cannot cause a steady stream of requests. New keys reset all cooldowns.
 */
export class UnknownKids {
  #fetches = new LruCache<UnknownKid>(maxUnknownKids)

  /**
   * Records that the issuer answered without this `kid`.
   *
   * @param fetch number of the fetch. Several tokens may have waited for it, and it counts once.
   */
  record(kid: string, fetch: number): void {
    const known = this.#fetches.get(kid)
    if (known?.lastFetch === fetch) return
    this.#fetches.set(kid, { count: (known?.count ?? 0) + 1, lastFetch: fetch })
  }

  /** Returns the time that must pass after the ordinary cooldown, in milliseconds. */
  extraCooldownMs(kid: string): number {
    const fetches = this.#fetches.get(kid)?.count ?? 1
    return Math.min(cooldownMs * 2 ** (fetches - 1), maxUnknownCooldownMs) - cooldownMs
  }

  clear(): void {
    this.#fetches = new LruCache(maxUnknownKids)
  }
}
