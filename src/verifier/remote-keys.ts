import type { Clock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import type { Algorithm } from '../tokens/algorithms.ts'
import { fetchKeySet } from './fetch-key-set.ts'
import type { KeySet } from './key-set.ts'
import type { KeyLookup, KeySource, KeySourceStatus } from './key-source.ts'

/** The least time between a fetch that went well and the next one for an unknown `kid`. */
const cooldownMs = 5000
/** How soon a fetch that failed is tried again; doubles with each failure, up to the cooldown. */
const firstRetryMs = 200
/** The part of its freshness after which a set is fetched again, to have a newer one in time. */
const refreshAfter = 0.8

export interface RemoteKeysOptions {
  readonly jwksUri: string
  /** How long one fetch may take, to the last byte. */
  readonly fetchTimeoutMs: number
  /** How long the last good set serves while no newer one can be had. */
  readonly maxAge_s: number
  readonly clock: Clock
}

/**
 * The keys that an issuer publishes, fetched and kept.
 *
 * Fetches happen one at a time: when a set is about to be no longer fresh, and for an unknown
 * `kid`, though then not within 5 s of the last good fetch. However many unknown ones there are, the
 * issuer sees one request a cooldown, and a token of a known key waits for none of them. A set is
 * replaced whole, so a key that is no longer published is no longer known. If a fetch fails, the
 * last good set serves until it is `maxAge_s` old.
 */
export function createRemoteKeys(options: RemoteKeysOptions): KeySource {
  return new RemoteKeys(options)
}

class RemoteKeys implements KeySource {
  readonly #options: RemoteKeysOptions
  #loaded: { readonly set: KeySet; readonly atMs: number } | null = null
  #fetching: Promise<void> | null = null
  #lastFetchEndedMs: number | null = null
  #nextFetchMs = 0
  #refreshFromMs = 0
  #failures = 0
  #lastError: Error | null = null
  #timer: NodeJS.Timeout | undefined
  #aborter: AbortController | null = null
  #closed = false

  constructor(options: RemoteKeysOptions) {
    this.#options = options
  }

  find(kid: string, alg: Algorithm): KeyLookup {
    const set = this.#usableSet()
    if (set === null) return 'keys_unavailable'
    if (this.#hasPassed(this.#nextFetchMs)) void this.#fetchOnce()
    return set.find(kid, alg)
  }

  async ready(): Promise<void> {
    if (this.#usableSet() === null) await this.#fetchOnce()
    if (this.#usableSet() === null) {
      throw new GatepassError('keys_unavailable', { cause: this.#lastError })
    }
  }

  async refresh(): Promise<void> {
    if (this.#fetching || this.#hasPassed(this.#refreshFromMs)) await this.#fetchOnce()
  }

  status(): KeySourceStatus {
    const loaded = this.#loaded
    return {
      count: this.#usableSet()?.count ?? 0,
      age_s: loaded && Math.floor((this.#nowMs() - loaded.atMs) / 1000),
      refused: loaded?.set.refused ?? [],
      lastError: this.#lastError && describe(this.#lastError),
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#aborter?.abort(new Error('the verifier was closed'))
    await this.#fetching
  }

  #usableSet(): KeySet | null {
    if (this.#loaded === null) return null
    const ageMs = this.#nowMs() - this.#loaded.atMs
    return ageMs <= this.#options.maxAge_s * 1000 ? this.#loaded.set : null
  }

  #fetchOnce(): Promise<void> {
    if (this.#closed) return Promise.resolve()
    this.#fetching ??= this.#fetch().finally(() => {
      this.#fetching = null
    })
    return this.#fetching
  }

  async #fetch(): Promise<void> {
    const { jwksUri, fetchTimeoutMs } = this.#options
    const aborter = new AbortController()
    const deadline = setTimeout(() => {
      aborter.abort(new Error(`there was no full answer within ${fetchTimeoutMs} ms`))
    }, fetchTimeoutMs)
    this.#aborter = aborter
    try {
      const { set, freshFor_s } = await fetchKeySet(jwksUri, aborter.signal)
      this.#loaded = { set, atMs: this.#nowMs() }
      this.#lastError = null
      this.#failures = 0
      this.#schedule(freshFor_s * 1000 * refreshAfter, cooldownMs)
    } catch (error) {
      this.#lastError = error instanceof Error ? error : new Error('the fetch failed')
      const retryMs = Math.min(firstRetryMs * 2 ** this.#failures, cooldownMs)
      this.#failures += 1
      this.#schedule(retryMs, retryMs)
    } finally {
      clearTimeout(deadline)
    }
  }

  /** By a timer, for when no token comes by; and by the clock, for when a timer is late. */
  #schedule(waitMs: number, quietMs: number): void {
    this.#lastFetchEndedMs = this.#nowMs()
    this.#nextFetchMs = this.#lastFetchEndedMs + waitMs
    this.#refreshFromMs = this.#lastFetchEndedMs + quietMs
    clearTimeout(this.#timer)
    if (this.#closed) return
    this.#timer = setTimeout(() => void this.#fetchOnce(), waitMs).unref()
  }

  /** Whether an instant is over. If the clock was set back since the last fetch, every one is. */
  #hasPassed(instantMs: number): boolean {
    const nowMs = this.#nowMs()
    return nowMs >= instantMs || nowMs < (this.#lastFetchEndedMs ?? 0)
  }

  #nowMs(): number {
    return this.#options.clock.nowMs()
  }
}

function describe(error: Error): string {
  // What fetch() throws says "fetch failed", and the reason in its cause.
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}
