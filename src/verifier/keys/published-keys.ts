import type { Clock } from '../../core/clock.ts'
import type { Algorithm } from '../../tokens/algorithms.ts'
import { errorText } from '../error-text.ts'
import { AbsentKids } from './absent-kids.ts'
import { fetchKeySet, type KeySetAnswer, KeysRefused } from './fetch-key-set.ts'
import { readKeySet } from './key-set.ts'
import type { KeyLookup, KeySourceStatus } from './key-source.ts'
import { KeysInUse, type LoadedSet } from './keys-in-use.ts'
import { RefreshSchedule } from './refresh-schedule.ts'

export interface PublishedKeysOptions {
  readonly jwksUri: string
  /** Timeout of one fetch, to the last byte. */
  readonly fetchTimeoutMs: number
  /** How long the last good set serves while no newer one can be fetched. */
  readonly maxAge_s: number
  readonly clock: Clock
  /** A number from 0 to 1. Default `Math.random`. */
  readonly random?: () => number
}

/** The JWK Set that an issuer publishes, as it was fetched last. Its owner decides when to fetch it. */
export class PublishedKeys {
  readonly schedule: RefreshSchedule
  readonly absent = new AbsentKids()
  readonly #options: PublishedKeysOptions
  readonly #keys: KeysInUse
  /** Of the set that was fetched last. */
  #etag: string | null = null
  #lastError: Error | null = null
  #lastFetch = 0
  #acceptedFetch = 0

  constructor(options: PublishedKeysOptions) {
    this.#options = options
    this.#keys = new KeysInUse(options.maxAge_s)
    this.schedule = new RefreshSchedule(options.clock, options.random ?? Math.random)
  }

  get nowMs(): number {
    return this.#options.clock.nowMs()
  }

  /** The last set, however old it is. */
  get loaded(): LoadedSet | null {
    return this.#keys.loaded
  }

  /** Whether there is no set that is fresh enough to use. */
  get isEmpty(): boolean {
    return this.#keys.at(this.nowMs) === null
  }

  get lastError(): Error | null {
    return this.#lastError
  }

  find(kid: string, alg: Algorithm, nowMs: number): KeyLookup {
    const found = this.#keys.at(nowMs)?.find(kid, alg) ?? 'keys_unavailable'
    // An honest token may be of a key that is newer than what could be fetched.
    return found === 'token_key_unknown' && this.#keys.isStaleAt(nowMs) ? 'keys_unavailable' : found
  }

  /**
   * Fetches the set once.
   *
   * @param isForced whether a copy from a cache on the way is too old
   * @throws Error for any failure; the last set then serves on
   */
  async fetch(isForced: boolean, aborter = new AbortController()): Promise<void> {
    const { jwksUri: uri, fetchTimeoutMs } = this.#options
    const deadline = setTimeout(() => {
      aborter.abort(new Error(`there was no full answer within ${fetchTimeoutMs} ms`))
    }, fetchTimeoutMs)
    this.#lastFetch += 1
    const fetch = this.#lastFetch
    try {
      const etag = this.#etag
      this.#accept(await fetchKeySet({ uri, etag, isForced, signal: aborter.signal }), fetch)
      this.#lastError = null
    } catch (error) {
      this.#lastError = error as Error
      const retryAfter = error instanceof KeysRefused ? error.retryAfter : null
      this.schedule.failed(!this.isEmpty, retryAfter)
      throw error
    } finally {
      clearTimeout(deadline)
    }
  }

  /** Takes a set from elsewhere. */
  replace(loaded: LoadedSet): void {
    this.#keys.replace(loaded)
  }

  /** Notes that a fetch was made for a token of this `kid`, if it brought a set without that key. */
  noteAbsent(kid: string, before: LoadedSet | null): void {
    const { loaded } = this.#keys
    if (loaded !== null && loaded !== before && !loaded.set.has(kid)) this.absent.missed(kid)
  }

  /** @param isPlanned whether a next fetch will come by itself */
  status(isPlanned: boolean): Omit<KeySourceStatus, 'fileError'> {
    const { nowMs, loaded } = this
    const nextMs = Math.max(0, this.schedule.nextMs - nowMs)
    return {
      count: this.#keys.at(nowMs)?.count ?? 0,
      source: loaded?.source ?? null,
      age_s: loaded && Math.max(0, Math.floor((nowMs - loaded.loadedAtMs) / 1000)),
      nextRefresh_s: isPlanned ? Math.ceil(nextMs / 1000) : null,
      refused: loaded?.set.refused ?? [],
      lastError: this.#lastError && errorText(this.#lastError),
    }
  }

  #accept({ jwks, etag, freshFor_s }: KeySetAnswer, fetch: number): void {
    // Where two fetches overlap, the one that was made first must not bring a key back.
    if (fetch < this.#acceptedFetch) return
    const previous = this.loaded?.set ?? null
    const isUnchanged = jwks === undefined && previous !== null
    const set = isUnchanged ? previous : readKeySet(jwks, previous)
    const loadedAtMs = this.nowMs
    const freshForMs = freshFor_s * 1000
    if (this.#keys.replace({ set, source: 'network', loadedAtMs, freshForMs })) this.absent.clear()
    this.#acceptedFetch = fetch
    this.#etag = etag
    this.schedule.succeeded(freshFor_s)
  }
}
