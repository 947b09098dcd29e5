import type { Clock } from '../../core/clock.ts'
import { GatepassError } from '../../core/errors.ts'
import { SingleFlight } from '../../core/single-flight.ts'
import type { Algorithm } from '../../tokens/algorithms.ts'
import { errorText } from '../error-text.ts'
import { AbsentKids } from './absent-kids.ts'
import { fetchKeySet, type KeySetAnswer, KeysRefused } from './fetch-key-set.ts'
import { KeyFile } from './key-file.ts'
import { readKeySet } from './key-set.ts'
import type { KeyLookup, KeySource, KeySourceStatus } from './key-source.ts'
import { KeysInUse } from './keys-in-use.ts'
import { RefreshSchedule } from './refresh-schedule.ts'

/** How long the file stands back for the first fetch, whose keys are newer. */
const fileAfterMs = 500
/** So many tokens wait for a fetch at once. More are refused without a wait. */
const waitingMax = 10_000

export interface RemoteKeysOptions {
  readonly jwksUri: string
  /** How long one fetch may take, to the last byte. */
  readonly fetchTimeoutMs: number
  /** How long the last good set serves while no newer one can be had. */
  readonly maxAge_s: number
  /** Where the last good set is kept, for a start while the issuer is away. */
  readonly jwksFile?: string | undefined
  readonly clock: Clock
  /** A number from 0 to 1. Default `Math.random`. */
  readonly random?: () => number
}

/**
 * The keys that an issuer publishes, fetched and kept.
 *
 * Fetches happen one at a time: when a set is about to be no longer fresh, and for an unknown
 * `kid`, though then not within 5 s of the last fetch. However many unknown ones there are, the
 * issuer sees one request a cooldown, and a token of a known key waits for none of them. A set is
 * replaced whole, so a key that is no longer published is no longer known. If a fetch fails, the
 * last good set serves until it is `maxAge_s` old.
 */
export function createRemoteKeys(options: RemoteKeysOptions): KeySource {
  return new RemoteKeys(options)
}

class RemoteKeys implements KeySource {
  readonly #options: RemoteKeysOptions
  readonly #keys: KeysInUse
  readonly #file: KeyFile | null
  readonly #schedule: RefreshSchedule
  readonly #absent = new AbsentKids()
  readonly #fetching = new SingleFlight(() => this.#fetch())
  readonly #starting = new SingleFlight(() => this.#start())
  /** Of the set that was fetched last. */
  #etag: string | null = null
  #isForced = false
  #waiting = 0
  #timer: NodeJS.Timeout | undefined
  #aborter: AbortController | null = null
  #isClosed = false

  constructor(options: RemoteKeysOptions) {
    this.#options = options
    this.#keys = new KeysInUse(options.maxAge_s)
    const { jwksUri, jwksFile } = options
    this.#file = jwksFile === undefined ? null : new KeyFile(jwksFile, jwksUri)
    this.#schedule = new RefreshSchedule(options.clock, options.random ?? Math.random)
  }

  find(kid: string, alg: Algorithm): KeyLookup {
    const nowMs = this.#nowMs()
    this.#keepFresh(nowMs)
    const found = this.#keys.at(nowMs)?.find(kid, alg) ?? 'keys_unavailable'
    // An honest token may be of a key that is newer than what could be fetched.
    return found === 'token_key_unknown' && this.#keys.isStaleAt(nowMs) ? 'keys_unavailable' : found
  }

  async ready(): Promise<void> {
    if (this.#isWithoutKeys()) await this.#attempt()
    if (this.#isWithoutKeys()) {
      throw new GatepassError('keys_unavailable', { cause: this.#fetching.lastError })
    }
  }

  async refresh(kid: string): Promise<void> {
    const isUnderWay = this.#fetching.isUnderWay || this.#starting.isUnderWay
    const mayAsk = this.#schedule.mayAsk(this.#nowMs(), this.#absent.extraQuietMs(kid))
    if ((!isUnderWay && !mayAsk) || this.#waiting >= waitingMax) return
    const before = this.#keys.loaded
    this.#waiting += 1
    await this.#attempt()
    this.#waiting -= 1
    const { loaded } = this.#keys
    if (loaded !== null && loaded !== before && !loaded.set.has(kid)) this.#absent.missed(kid)
  }

  async refreshNow(): Promise<void> {
    await this.#fetching.settled() // one under way may have asked too early
    if (this.#isClosed) return
    this.#isForced = true
    await this.#fetching.run()
  }

  status(): KeySourceStatus {
    const nowMs = this.#nowMs()
    const { loaded } = this.#keys
    const { lastError } = this.#fetching
    const isPlanned = this.#timer !== undefined && !this.#isClosed
    return {
      count: this.#keys.at(nowMs)?.count ?? 0,
      source: loaded?.source ?? null,
      age_s: loaded && Math.max(0, Math.floor((nowMs - loaded.loadedAtMs) / 1000)),
      nextRefresh_s: isPlanned
        ? Math.max(0, Math.ceil((this.#schedule.nextMs - nowMs) / 1000))
        : null,
      refused: loaded?.set.refused ?? [],
      lastError: lastError && errorText(lastError),
      fileError: this.#file?.lastError ?? null,
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#aborter?.abort(new Error('the verifier was closed'))
    await this.#fetching.settled()
    await this.#starting.settled()
    await this.#file?.settled()
  }

  #isWithoutKeys(): boolean {
    return this.#keys.at(this.#nowMs()) === null
  }

  /** By a timer, for when no token comes by; and by the clock, for when a timer is late. */
  #keepFresh(nowMs: number): void {
    if (this.#schedule.isDue(nowMs) && !this.#fetching.isUnderWay) void this.#attempt()
  }

  /** Resolves when a fetch is over; or before, when at the start there are keys in the file. */
  async #attempt(): Promise<void> {
    if (this.#isClosed) return
    if (this.#file === null || this.#keys.loaded !== null) return this.#fetching.run()
    await this.#starting.run()
    if (this.#isWithoutKeys()) await this.#fetching.settled()
  }

  /** The file stands back for the issuer, though not for long. */
  async #start(): Promise<void> {
    const late = Promise.withResolvers<void>()
    const timer = setTimeout(late.resolve, fileAfterMs)
    await Promise.race([this.#fetching.run(), late.promise])
    clearTimeout(timer)
    const kept = this.#keys.loaded === null ? await this.#file?.read() : null
    if (!kept || this.#keys.loaded !== null) return
    // A file from the future would serve for longer than it may.
    const loadedAtMs = Math.min(kept.loadedAtMs, this.#nowMs())
    this.#keys.replace({ set: kept.set, source: 'file', loadedAtMs, freshForMs: 0 })
  }

  async #fetch(): Promise<void> {
    try {
      this.#accept(await this.#ask())
    } catch (error) {
      const retryAfter = error instanceof KeysRefused ? error.retryAfter : null
      this.#schedule.failed(!this.#isWithoutKeys(), retryAfter)
      throw error
    } finally {
      this.#setTimer()
    }
  }

  async #ask(): Promise<KeySetAnswer> {
    const { jwksUri: uri, fetchTimeoutMs } = this.#options
    const aborter = new AbortController()
    const deadline = setTimeout(() => {
      aborter.abort(new Error(`there was no full answer within ${fetchTimeoutMs} ms`))
    }, fetchTimeoutMs)
    this.#aborter = aborter
    const isForced = this.#isForced
    this.#isForced = false
    try {
      return await fetchKeySet({ uri, etag: this.#etag, isForced, signal: aborter.signal })
    } finally {
      clearTimeout(deadline)
    }
  }

  #accept({ jwks, etag, freshFor_s }: KeySetAnswer): void {
    const previous = this.#keys.loaded?.set ?? null
    const isUnchanged = jwks === undefined && previous !== null
    const set = isUnchanged ? previous : readKeySet(jwks, previous)
    const loadedAtMs = this.#nowMs()
    const freshForMs = freshFor_s * 1000
    if (this.#keys.replace({ set, source: 'network', loadedAtMs, freshForMs })) this.#absent.clear()
    this.#etag = etag
    this.#schedule.succeeded(freshFor_s)
    this.#file?.keep(set, loadedAtMs)
  }

  #setTimer(): void {
    clearTimeout(this.#timer)
    if (this.#isClosed) return
    const waitMs = this.#schedule.nextMs - this.#nowMs()
    this.#timer = setTimeout(() => void this.#attempt(), waitMs).unref()
  }

  #nowMs(): number {
    return this.#options.clock.nowMs()
  }
}
