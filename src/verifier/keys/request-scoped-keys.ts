import { GatepassError } from '../../core/errors.ts'
import type { Algorithm } from '../../tokens/algorithms.ts'
import type { KeyLookup, KeySource, KeySourceStatus } from './key-source.ts'
import { PublishedKeys, type PublishedKeysOptions } from './published-keys.ts'

/**
 * The keys that an issuer publishes, fetched within requests: for a runtime on which no timer fires
 * between requests, and no request can wait for the promise of another one.
 *
 * One request fetches keys that are due and waits for them, at most `fetchTimeoutMs`; other requests
 * use the last set meanwhile. A request that ends while it fetches delays the next fetch by no more
 * than that time. While there are no keys, each request fetches them for itself.
 */
export function createRequestKeys(options: PublishedKeysOptions): KeySource {
  return new RequestKeys(options)
}

class RequestKeys implements KeySource {
  readonly #published: PublishedKeys
  /** Apart, so that tokens of unknown keys cannot keep known keys from being renewed. */
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
    const { schedule, nowMs } = this.#published
    if (this.#isClosed || !schedule.isDue(nowMs) || this.#renewal.isHeld(nowMs)) return undefined
    return this.#renewal.during(nowMs, () => this.#fetch(false))
  }

  async ready(): Promise<void> {
    if (this.#published.isEmpty) await this.#fetch(false)
    if (this.#published.isEmpty) {
      throw new GatepassError('keys_unavailable', { cause: this.#published.lastError })
    }
  }

  async refresh(kid: string): Promise<void> {
    const { schedule, absent, nowMs, loaded, isEmpty } = this.#published
    const mayAsk = schedule.mayAsk(nowMs, absent.extraQuietMs(kid))
    if (!mayAsk || (this.#search.isHeld(nowMs) && !isEmpty)) return
    await this.#search.during(nowMs, () => this.#fetch(false))
    this.#published.noteAbsent(kid, loaded)
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

  /** Never rejects: the status says how it went. */
  async #fetch(isForced: boolean): Promise<void> {
    if (!this.#isClosed) await this.#published.fetch(isForced).catch(() => {})
  }
}

/** Work that one request at a time does. It may never end, as when its request ends first. */
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
