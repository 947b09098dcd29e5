import type { Clock } from '../../core/clock.ts'
import { messagesOf } from '../../core/error-text.ts'
import { GatepassError } from '../../core/errors.ts'
import type { JsonValue } from '../../core/json.ts'
import type { Algorithm } from '../../tokens/algorithms.ts'
import { parseStrictJson } from '../../tokens/strict-decoding.ts'
import {
  abortAfter,
  ageSecondsOf,
  contentTypeOf,
  etagOf,
  get,
  ResponseError,
  readBody,
  readSeconds,
} from '../http-client.ts'
import {
  haveSameKeys,
  type KeyLookup,
  type KeySet,
  type KeySourceStatus,
  maxKeySetBytes,
  readKeySet,
} from './key-source.ts'
import { RefreshSchedule, UnknownKids } from './refresh-schedule.ts'

/** Freshness of a set whose server does not name one, in seconds. */
const defaultMaxAge_s = 300
/**
 * The minimum limits the request rate for a max-age of 0. The maximum limits how long a removed key
 * is accepted.
 */
const maxAgeRange_s = { min: 1, max: 3600 }

/** `application/json` and types based on it: `application/jwk-set+json` (RFC 7517 §8.5). */
const jsonType = /^application\/(?:[a-z0-9.-]+\+)?json$/

export interface PublishedKeysOptions {
  readonly jwksUri: string
  /** Timeout of one fetch, to the last byte. */
  readonly fetchTimeoutMs: number
  /** How long the last good set is used while no newer set can be fetched. */
  readonly maxAgeSeconds: number
  readonly clock: Clock
  /** Returns a number from 0 to below 1. Default `Math.random`. */
  readonly random?: () => number
}

/** A key set, where it was loaded from, and when the issuer last confirmed it. */
export interface LoadedSet {
  readonly set: KeySet
  readonly source: 'network' | 'file'
  readonly loadedAtMs: number
  /** Time for which the issuer promises to use no key outside the set. */
  readonly freshForMs: number
}

/**
 * The JWK Set that an issuer publishes: the last fetched set, and when to fetch the next one.
 *
 * A set is replaced whole, so a withdrawn key is unknown. If a fetch fails, the last
 * set is used until it is `maxAgeSeconds` old.
 */
export class PublishedKeys {
  readonly #options: PublishedKeysOptions
  readonly #schedule: RefreshSchedule
  readonly #unknownKids = new UnknownKids()
  #loaded: LoadedSet | null = null
  /** Entity tag of the set that was fetched last. */
  #etag: string | null = null
  #lastError: Error | null = null
  /** Number of the fetch that started last. */
  #lastFetch = 0
  /** Number of the last fetch whose set was accepted. */
  #acceptedFetch = 0
  /** Number of the last fetch that had started when a fetch failed. */
  #failedFetch = 0

  constructor(options: PublishedKeysOptions) {
    this.#options = options
    this.#schedule = new RefreshSchedule(options.clock, options.random ?? Math.random)
  }

  get nowMs(): number {
    return this.#options.clock.nowMs()
  }

  /** The last set, however old it is. */
  get loaded(): LoadedSet | null {
    return this.#loaded
  }

  /** Whether no set is recent enough to be used. */
  get isEmpty(): boolean {
    return this.#usableSet(this.nowMs) === null
  }

  /** @throws `keys_unavailable` if no set is recent enough to be used */
  requireKeys(): void {
    if (!this.isEmpty) return
    // Names the address: a wrong one is the usual reason. Its query may contain a secret.
    const { origin, pathname } = new URL(this.#options.jwksUri)
    const reason = this.#lastError ? messagesOf(this.#lastError) : 'the verifier was closed'
    const cause = new Error(`no keys from ${origin}${pathname}: ${reason}`)
    throw new GatepassError('keys_unavailable', { cause })
  }

  /** When the next fetch is due without a token that asks for it. */
  get nextRefreshMs(): number {
    return this.#schedule.nextMs
  }

  isRefreshDue(nowMs: number): boolean {
    return this.#schedule.isDue(nowMs)
  }

  /** Whether the cooldowns allow a fetch for a token with this unknown `kid`. */
  canFetchFor(kid: string): boolean {
    const { nowMs, isEmpty } = this
    // No cooldown delays the fetch that is due after a set became too old.
    if (isEmpty && this.isRefreshDue(nowMs)) return true
    return this.#schedule.canFetch(nowMs, this.#unknownKids.extraCooldownMs(kid))
  }

  find(kid: string, alg: Algorithm, nowMs: number): KeyLookup {
    const found = this.#usableSet(nowMs)?.find(kid, alg) ?? 'keys_unavailable'
    // The key may have been published after the last successful fetch.
    return found === 'token_key_unknown' && this.#isStale(nowMs) ? 'keys_unavailable' : found
  }

  /**
   * Fetches the set once.
   *
   * @param isForced whether to bypass HTTP caches
   * @throws Error for any failure; the last set stays in use
   */
  async fetch(isForced: boolean, aborter = new AbortController()): Promise<void> {
    const { jwksUri: uri, fetchTimeoutMs, clock } = this.#options
    this.#lastFetch += 1
    const fetchNumber = this.#lastFetch
    try {
      const response = await abortAfter(fetchTimeoutMs, aborter, (signal) =>
        fetchKeySet({ uri, etag: this.#etag, isForced, clock, signal }),
      )
      this.#accept(response, fetchNumber)
      this.#lastError = null
    } catch (error) {
      this.#lastError = error as Error
      this.#limitAge()
      // Concurrent fetches that fail together count once, so that the next one is soon.
      if (fetchNumber > this.#failedFetch) this.#schedule.failed(!this.isEmpty, error as Error)
      this.#failedFetch = this.#lastFetch
      throw error
    }
  }

  /**
   * Uses a set that was loaded from elsewhere.
   *
   * @returns whether its keys differ from those of the previous set
   */
  replace(loaded: LoadedSet): boolean {
    const previous = this.#loaded?.set ?? null
    this.#loaded = loaded
    return previous === null || !haveSameKeys(previous, loaded.set)
  }

  /** Records that a fetch for this `kid` brought a set without it. */
  recordUnknown(kid: string, before: LoadedSet | null): void {
    const loaded = this.#loaded
    if (loaded === null || loaded === before || loaded.set.has(kid)) return
    this.#unknownKids.record(kid, this.#acceptedFetch)
  }

  /** @param isPlanned whether the next fetch happens without a token that asks for it */
  status(isPlanned: boolean): Omit<KeySourceStatus, 'fileError'> {
    const { nowMs, loaded } = this
    const isDue = this.isRefreshDue(nowMs)
    const untilRefreshMs = isDue ? 0 : Math.max(0, this.#schedule.nextMs - nowMs)
    return {
      count: this.#usableSet(nowMs)?.keys.length ?? 0,
      source: loaded?.source ?? null,
      ageSeconds: loaded && Math.max(0, Math.floor((nowMs - loaded.loadedAtMs) / 1000)),
      nextRefreshSeconds: isPlanned ? Math.ceil(untilRefreshMs / 1000) : null,
      refused: loaded?.set.refused ?? [],
      lastError: this.#lastError && messagesOf(this.#lastError),
    }
  }

  #usableSet(nowMs: number): KeySet | null {
    const loaded = this.#loaded
    const isUsable =
      loaded !== null && nowMs - loaded.loadedAtMs <= this.#options.maxAgeSeconds * 1000
    return isUsable ? loaded.set : null
  }

  #isStale(nowMs: number): boolean {
    const loaded = this.#loaded
    return loaded === null || nowMs - loaded.loadedAtMs > loaded.freshForMs
  }

  /** A set with a time in the future, because the clock was set back, must not be used for longer. */
  #limitAge(): void {
    const { nowMs } = this
    if (this.#loaded !== null && this.#loaded.loadedAtMs > nowMs) {
      this.#loaded = { ...this.#loaded, loadedAtMs: nowMs }
    }
  }

  #accept({ jwks, etag, freshFor_s }: KeySetResponse, fetchNumber: number): void {
    // Of two concurrent fetches, the one that started first must not bring a removed key back.
    if (fetchNumber < this.#acceptedFetch) return
    // A 304 is about the set that was known when its request was sent.
    if (jwks === undefined && etag !== this.#etag) return
    const previous = this.#loaded?.set ?? null
    const isUnchanged = jwks === undefined && previous !== null
    const set = isUnchanged ? previous : readKeySet(jwks, previous)
    const freshForMs = freshFor_s * 1000
    const isChanged = this.replace({ set, source: 'network', loadedAtMs: this.nowMs, freshForMs })
    if (isChanged) this.#unknownKids.clear()
    this.#acceptedFetch = fetchNumber
    this.#etag = etag
    this.#schedule.succeeded(Math.min(freshFor_s, this.#options.maxAgeSeconds))
  }
}

interface KeySetRequest {
  readonly uri: string
  readonly etag: string | null
  readonly isForced: boolean
  readonly clock: Clock
  readonly signal: AbortSignal
}

interface KeySetResponse {
  /** The JWK Set; undefined if the set with the entity tag of the request is current (304). */
  readonly jwks: JsonValue | undefined
  readonly etag: string | null
  /** Seconds for which the set need not be fetched again. */
  readonly freshFor_s: number
}

/** @throws Error for any failure, or the reason of `signal` */
async function fetchKeySet({ isForced, ...request }: KeySetRequest): Promise<KeySetResponse> {
  const headers = {
    accept: 'application/jwk-set+json, application/json',
    ...(isForced && { 'cache-control': 'no-cache' }),
  }
  const response = await get({ ...request, headers })
  const freshFor_s = freshness_s(response)
  if (response.status === 304) return { jwks: undefined, etag: request.etag, freshFor_s }
  if (!jsonType.test(contentTypeOf(response))) {
    await response.body?.cancel()
    throw new ResponseError('the content type of the answer is not JSON')
  }
  const jwks = parseStrictJson(await readBody(response, maxKeySetBytes, request.signal))
  if (jwks === undefined) throw new ResponseError('the answer is not acceptable JSON')
  return { jwks, etag: etagOf(response), freshFor_s }
}

/**
 * Returns `max-age`, less the time that the response has spent in HTTP caches (RFC 9111 §4.2). The
 * default starts with the fetch: a cache may keep a response without a `max-age` for days.
 */
function freshness_s(response: Response): number {
  const directives = (response.headers.get('cache-control') ?? '').toLowerCase().split(',')
  const maxAge = directives.map((part) => part.trim()).find((part) => part.startsWith('max-age='))
  // RFC 9111 §5.2 allows quotes.
  const maxAge_s = readSeconds(maxAge?.slice('max-age='.length).replaceAll('"', ''))
  if (maxAge_s === null) return defaultMaxAge_s
  const freshFor_s = maxAge_s - ageSecondsOf(response)
  return Math.min(Math.max(freshFor_s, maxAgeRange_s.min), maxAgeRange_s.max)
}
