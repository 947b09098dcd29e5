import type { Clock } from '../../core/clock.ts'
import type { JsonValue } from '../../core/json.ts'
import type { Algorithm } from '../../tokens/algorithms.ts'
import { parseStrictJson } from '../../tokens/strict-decoding.ts'
import { errorText, wholeSeconds } from '../http-client.ts'
import { haveSameKeys, type KeySet, readKeySet } from './key-set.ts'
import type { KeyLookup, KeySourceStatus } from './key-source.ts'
import { AbsentKids, RefreshSchedule } from './refresh-schedule.ts'

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

/** Where a set is from, and when it was last known to be its issuer's. */
export interface LoadedSet {
  readonly set: KeySet
  readonly source: 'network' | 'file'
  readonly loadedAtMs: number
  /** So long its issuer means to publish no other one that is used at once. */
  readonly freshForMs: number
}

/** The set that keys are looked up in: replaced whole, and not used beyond its maximum age. */
export class KeysInUse {
  readonly #maxAgeMs: number
  #loaded: LoadedSet | null = null

  constructor(maxAge_s: number) {
    this.#maxAgeMs = maxAge_s * 1000
  }

  /** The last set, however old it is. */
  get loaded(): LoadedSet | null {
    return this.#loaded
  }

  /** The set, if there is one that is not too old. */
  at(nowMs: number): KeySet | null {
    const loaded = this.#loaded
    const isUsable = loaded !== null && nowMs - loaded.loadedAtMs <= this.#maxAgeMs
    return isUsable ? loaded.set : null
  }

  /** Whether there may be keys by now that the set does not have. */
  isStaleAt(nowMs: number): boolean {
    const loaded = this.#loaded
    return loaded === null || nowMs - loaded.loadedAtMs > loaded.freshForMs
  }

  /** @returns whether the keys are others than before */
  replace(loaded: LoadedSet): boolean {
    const previous = this.#loaded?.set ?? null
    this.#loaded = loaded
    return previous === null || !haveSameKeys(previous, loaded.set)
  }
}

/** The longest JWK Set that is read, in bytes. 64 RSA keys fit, or 30 of ML-DSA-44. */
export const maxBodyBytes = 64 * 1024

/** How long a set is fresh when its server does not say. */
const defaultMaxAge_s = 300
/** A second keeps a max-age of 0 from a request a token; an hour, a removed key from living long. */
const maxAgeRange_s = { min: 1, max: 3600 }
/** A longer entity tag is not sent back with each request. */
const etagCharsMax = 256

/** `application/json`, and what is written in JSON: `application/jwk-set+json` (RFC 7517 §8.5). */
const jsonType = /^application\/(?:[a-z0-9.-]+\+)?json$/

export interface KeySetRequest {
  readonly uri: string
  /** The entity tag of the set that is here already; null if none is. */
  readonly etag: string | null
  /** Whether a copy from a cache on the way is too old (RFC 9111 §5.2.1.4). */
  readonly isForced: boolean
  readonly signal: AbortSignal
}

export interface KeySetAnswer {
  /** The JWK Set; undefined if it is still the one that was named by its entity tag (304). */
  readonly jwks: JsonValue | undefined
  readonly etag: string | null
  /** For how many seconds from now it need not be fetched again. */
  readonly freshFor_s: number
}

/** An answer without keys in it. */
export class KeysRefused extends Error {
  /** The `Retry-After` of the answer (RFC 9110 §10.2.3), as it came. */
  readonly retryAfter: string | null

  constructor(message: string, retryAfter: string | null) {
    super(message)
    this.retryAfter = retryAfter
  }
}

/**
 * Fetches a JWK Set. Follows no redirect, and takes nothing but a 200 with JSON in it, or the 304
 * that was asked for.
 *
 * @throws Error for any failure, or the reason of `signal`
 */
export async function fetchKeySet(request: KeySetRequest): Promise<KeySetAnswer> {
  const response = await fetch(request.uri, {
    redirect: 'manual',
    headers: requestHeaders(request),
    signal: request.signal,
  })
  const { status, headers } = response
  const isRenewed = status === 304 && request.etag !== null
  if (status !== 200 || !isJson(headers)) {
    await response.body?.cancel()
    if (isRenewed) return { jwks: undefined, etag: request.etag, freshFor_s: freshness_s(headers) }
    if (status === 200) throw new KeysRefused('the content type of the answer is not JSON', null)
    throw new KeysRefused(describeStatus(status), headers.get('retry-after'))
  }
  const jwks = parseStrictJson(await readBody(response))
  if (jwks === undefined) throw new Error('the answer is not acceptable JSON')
  return { jwks, etag: etagOf(headers), freshFor_s: freshness_s(headers) }
}

function requestHeaders({ etag, isForced }: KeySetRequest): Record<string, string> {
  return {
    accept: 'application/jwk-set+json, application/json',
    ...(etag !== null && { 'if-none-match': etag }),
    ...(isForced && { 'cache-control': 'no-cache' }),
  }
}

function isJson(headers: Headers): boolean {
  const [type = ''] = (headers.get('content-type') ?? '').split(';', 1)
  return jsonType.test(type.trim().toLowerCase())
}

function describeStatus(status: number): string {
  const isRedirect = status >= 300 && status < 400 && status !== 304
  return `the answer has status ${status}${isRedirect ? ', and no redirect is followed' : ''}`
}

async function readBody(response: Response): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    if (size > maxBodyBytes) throw new Error(`the answer is longer than ${maxBodyBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function etagOf(headers: Headers): string | null {
  const etag = headers.get('etag')
  return etag === null || etag.length > etagCharsMax ? null : etag
}

/** `max-age`, less the time that the answer has spent in a cache on its way (RFC 9111 §4.2). */
function freshness_s(headers: Headers): number {
  const directives = (headers.get('cache-control') ?? '').toLowerCase().split(',')
  const maxAge = directives.map((part) => part.trim()).find((part) => part.startsWith('max-age='))
  const maxAge_s = wholeSeconds(maxAge?.slice('max-age='.length)) ?? defaultMaxAge_s
  const freshFor_s = maxAge_s - (wholeSeconds(headers.get('age')) ?? 0)
  return Math.min(Math.max(freshFor_s, maxAgeRange_s.min), maxAgeRange_s.max)
}
