import { GatepassError } from '../../core/errors.ts'
import type { Algorithm } from '../../tokens/algorithms.ts'
import type { KeyLookup, KeySource, KeySourceStatus } from './key-source.ts'
import { PublishedKeys, type PublishedKeysOptions } from './published-keys.ts'

/**
 * Fetches the keys of an issuer within requests, for a runtime such as workerd, where no timer fires between
 * requests and no request can wait for another one. One request fetches keys that are due; other requests use
 * the last set meanwhile. Without keys, each request fetches them for itself.
 */
export function createRequestScopedKeys(options: PublishedKeysOptions): KeySource {
  return new RequestScopedKeys(options)
}

class RequestScopedKeys implements KeySource {
  readonly #published: PublishedKeys
  /** Separate leases, so that tokens of unknown keys cannot delay the renewal of known keys. */
  readonly #renewal: Lease
  readonly #search: Lease
  #isClosed = false

  constructor(options: PublishedKeysOptions) {
    this.#published = new PublishedKeys(options)
    this.#renewal = new Lease(options.fetchTimeoutMs)
    this.#search = new Lease(options.fetchTimeoutMs)
  }

  find(kid: string, alg: Algorithm): KeyLookup {
    return this.#published.find(kid, alg, this.#published.nowMs)
  }

  renew(): Promise<void> | undefined {
    const { nowMs } = this.#published
    const isDue = !this.#isClosed && this.#published.isRefreshDue(nowMs)
    if (!isDue || this.#renewal.isHeld(nowMs)) return undefined
    return this.#renewal.during(nowMs, () => this.#fetch(false))
  }

  async ready(): Promise<void> {
    if (this.#published.isEmpty) await this.#fetch(false)
    if (this.#published.isEmpty) {
      throw new GatepassError('keys_unavailable', { cause: this.#published.lastError })
    }
  }

  async refresh(kid: string): Promise<void> {
    const { nowMs, loaded, isEmpty } = this.#published
    if (!this.#published.canFetchFor(kid) || (this.#search.isHeld(nowMs) && !isEmpty)) return
    await this.#search.during(nowMs, () => this.#fetch(false))
    this.#published.recordUnknown(kid, loaded)
  }

  refreshNow(): Promise<void> {
    return this.#fetch(true)
  }

  status(): KeySourceStatus {
    const isPlanned = this.#published.loaded !== null && !this.#isClosed
    return { ...this.#published.status(isPlanned), fileError: null }
  }

  async close(): Promise<void> {
    this.#isClosed = true
  }

  /** Never rejects: the status has the error. */
  async #fetch(isForced: boolean): Promise<void> {
    if (!this.#isClosed) await this.#published.fetch(isForced).catch(() => {})
  }
}

/**
 * A lease: one request at a time does some work. It expires, because the request may end before the
 * work is done.
 */
class Lease {
  readonly #maxMs: number
  #sinceMs: number | null = null

  constructor(maxMs: number) {
    this.#maxMs = maxMs
  }

  isHeld(nowMs: number): boolean {
    const sinceMs = this.#sinceMs
    return sinceMs !== null && nowMs >= sinceMs && nowMs - sinceMs <= this.#maxMs
  }

  async during(nowMs: number, work: () => Promise<void>): Promise<void> {
    this.#sinceMs = nowMs
    await work()
    if (this.#sinceMs === nowMs) this.#sinceMs = null
  }
}
