import { waitAtMost } from '../../core/promise.ts'
import { SingleFlight } from '../../core/single-flight.ts'
import type { Algorithm } from '../../tokens/algorithms.ts'
import { KeyFile } from './key-file.ts'
import type { KeyLookup, KeySource, KeySourceStatus } from './key-source.ts'
import { PublishedKeys, type PublishedKeysOptions } from './published-keys.ts'

/** Time that the first fetch has before the keys are read from the file. Fetched keys are newer. */
const fileDelayMs = 500
/** Tokens that wait for a fetch at the same time. Further tokens are rejected immediately. */
const maxWaiting = 10_000

export interface RemoteKeysOptions extends PublishedKeysOptions {
  /** Path of the file that keeps the last good set, for a start without the issuer. */
  readonly jwksFile?: string | undefined
}

/**
 * Fetches the keys of an issuer in the background.
 *
 * One fetch runs at a time: before the set gets stale, and for an unknown `kid`, at most one per
 * cooldown. A token with a known key never waits for a fetch.
 */
export class RemoteKeys implements KeySource {
  readonly #published: PublishedKeys
  readonly #file: KeyFile | null
  readonly #fetching = new SingleFlight(() => this.#fetch())
  readonly #starting = new SingleFlight(() => this.#start())
  #isForced = false
  #waiting = 0
  #timer: NodeJS.Timeout | undefined
  #aborter: AbortController | null = null
  #isClosed = false

  constructor(options: RemoteKeysOptions) {
    const { jwksUri, jwksFile } = options
    this.#published = new PublishedKeys(options)
    this.#file = jwksFile === undefined ? null : new KeyFile(jwksFile, jwksUri)
  }

  find(kid: string, alg: Algorithm): KeyLookup {
    const { nowMs } = this.#published
    // The timer may be late, as after the machine was suspended.
    if (this.#published.isRefreshDue(nowMs) && !this.#fetching.isRunning) void this.#load()
    return this.#published.find(kid, alg, nowMs)
  }

  async ready(): Promise<void> {
    if (this.#published.isEmpty) await this.#load()
    this.#published.requireKeys()
  }

  async refresh(kid: string): Promise<void> {
    const { loaded } = this.#published
    const isFetching = this.#fetching.isRunning || this.#starting.isRunning
    const canFetch = isFetching || this.#published.canFetchFor(kid)
    if (!canFetch || this.#waiting >= maxWaiting) return
    this.#waiting += 1
    await this.#load()
    this.#waiting -= 1
    this.#published.recordUnknown(kid, loaded)
  }

  async refreshNow(): Promise<void> {
    await this.#fetching.settled() // a fetch in progress may have been sent too early
    if (this.#isClosed) return
    this.#isForced = true
    await this.#fetching.run()
  }

  status(): KeySourceStatus {
    const isPlanned = this.#timer !== undefined && !this.#isClosed
    const fileError = this.#file?.lastError ?? null
    return { ...this.#published.status(isPlanned), fileError }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#aborter?.abort(new Error('the verifier was closed'))
    await this.#fetching.settled()
    await this.#starting.settled()
    await this.#file?.settled()
  }

  /** Resolves after a fetch, or, at the start, as soon as the file has keys. */
  async #load(): Promise<void> {
    if (this.#isClosed) return
    if (this.#file === null || this.#published.loaded !== null) return this.#fetching.run()
    await this.#starting.run()
    if (this.#published.isEmpty) await this.#fetching.settled()
  }

  /** Fetches, and reads the file if the issuer does not answer soon. */
  async #start(): Promise<void> {
    await waitAtMost(this.#fetching.run(), fileDelayMs)
    const stored = this.#published.loaded === null ? await this.#file?.read() : null
    if (!stored || this.#published.loaded !== null) return
    // A file with a time in the future must not be used longer than others.
    const loadedAtMs = Math.min(stored.loadedAtMs, this.#published.nowMs)
    this.#published.replace({ set: stored.set, source: 'file', loadedAtMs, freshForMs: 0 })
  }

  async #fetch(): Promise<void> {
    this.#aborter = new AbortController()
    const isForced = this.#isForced
    this.#isForced = false
    try {
      await this.#published.fetch(isForced, this.#aborter)
      const { loaded } = this.#published
      if (loaded !== null) this.#file?.write(loaded.set, loaded.loadedAtMs)
    } finally {
      this.#setTimer()
    }
  }

  #setTimer(): void {
    clearTimeout(this.#timer)
    if (this.#isClosed) return
    const waitMs = this.#published.nextRefreshMs - this.#published.nowMs
    this.#timer = setTimeout(() => void this.#load(), waitMs).unref()
  }
}

/**
 * Fetches the keys of an issuer within requests, for a runtime such as workerd, where no timer fires between
 * requests and no request can wait for another one. One request fetches keys that are due; other requests use
 * the last set meanwhile. Without keys, each request fetches them for itself.
 */
export class RequestScopedKeys implements KeySource {
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
    this.#published.requireKeys()
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
