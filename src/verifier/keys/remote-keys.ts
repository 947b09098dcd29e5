import { GatepassError } from '../../core/errors.ts'
import { SingleFlight } from '../../core/single-flight.ts'
import type { Algorithm } from '../../tokens/algorithms.ts'
import { KeyFile } from './key-file.ts'
import type { KeyLookup, KeySource, KeySourceStatus } from './key-source.ts'
import { PublishedKeys, type PublishedKeysOptions } from './published-keys.ts'

/** How long the file stands back for the first fetch, whose keys are newer. */
const fileAfterMs = 500
/** So many tokens wait for a fetch at once. More are refused without a wait. */
const waitingMax = 10_000

export interface RemoteKeysOptions extends PublishedKeysOptions {
  /** Where the last good set is kept, for a start while the issuer is away. */
  readonly jwksFile?: string | undefined
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
    this.#keepFresh(nowMs)
    return this.#published.find(kid, alg, nowMs)
  }

  async ready(): Promise<void> {
    if (this.#published.isEmpty) await this.#attempt()
    if (this.#published.isEmpty) {
      throw new GatepassError('keys_unavailable', { cause: this.#published.lastError })
    }
  }

  async refresh(kid: string): Promise<void> {
    const { schedule, absent, nowMs, loaded } = this.#published
    const isUnderWay = this.#fetching.isUnderWay || this.#starting.isUnderWay
    const mayAsk = schedule.mayAsk(nowMs, absent.extraQuietMs(kid))
    if ((!isUnderWay && !mayAsk) || this.#waiting >= waitingMax) return
    this.#waiting += 1
    await this.#attempt()
    this.#waiting -= 1
    this.#published.noteAbsent(kid, loaded)
  }

  async refreshNow(): Promise<void> {
    await this.#fetching.settled() // one under way may have asked too early
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

  /** By a timer, for when no token comes by; and by the clock, for when a timer is late. */
  #keepFresh(nowMs: number): void {
    const isDue = this.#published.schedule.isDue(nowMs)
    if (isDue && !this.#fetching.isUnderWay) void this.#attempt()
  }

  /** Resolves when a fetch is over; or before, when at the start there are keys in the file. */
  async #attempt(): Promise<void> {
    if (this.#isClosed) return
    if (this.#file === null || this.#published.loaded !== null) return this.#fetching.run()
    await this.#starting.run()
    if (this.#published.isEmpty) await this.#fetching.settled()
  }

  /** The file stands back for the issuer, though not for long. */
  async #start(): Promise<void> {
    const late = Promise.withResolvers<void>()
    const timer = setTimeout(late.resolve, fileAfterMs)
    await Promise.race([this.#fetching.run(), late.promise])
    clearTimeout(timer)
    const kept = this.#published.loaded === null ? await this.#file?.read() : null
    if (!kept || this.#published.loaded !== null) return
    // A file from the future would serve for longer than it may.
    const loadedAtMs = Math.min(kept.loadedAtMs, this.#published.nowMs)
    this.#published.replace({ set: kept.set, source: 'file', loadedAtMs, freshForMs: 0 })
  }

  async #fetch(): Promise<void> {
    this.#aborter = new AbortController()
    const isForced = this.#isForced
    this.#isForced = false
    try {
      await this.#published.fetch(isForced, this.#aborter)
      const { loaded } = this.#published
      if (loaded !== null) this.#file?.keep(loaded.set, loaded.loadedAtMs)
    } finally {
      this.#setTimer()
    }
  }

  #setTimer(): void {
    clearTimeout(this.#timer)
    if (this.#isClosed) return
    const waitMs = this.#published.schedule.nextMs - this.#published.nowMs
    this.#timer = setTimeout(() => void this.#attempt(), waitMs).unref()
  }
}
