import type { Clock } from '../../core/clock.ts'
import type { AccessTokenClaims } from '../../tokens/access-token.ts'
import {
  type RevokedEntry,
  readEvent,
  readSnapshot,
  securityEventType,
  snapshotType,
} from '../../tokens/revocation-tokens.ts'
import { errorText, fetchSnapshot, snapshotBytesMax } from '../http-client.ts'
import type { KeySource } from '../keys/key-source.ts'
import { openSigned } from '../signature.ts'
import { eventBytesMax, Stream } from './event-stream.ts'
import { RevocationRules, type Revocations, type RevocationsStatus } from './revocation-list.ts'
import { Polls } from './snapshot-poller.ts'

/** So long the first token waits for the list: for some more attempts, should the first one fail. */
const startMs = 2_000
/** How often what has become moot is dropped. */
const pruneEveryMs = 10_000
/** What entries count for until an issuer says how long. */
const keptUntilTold_s = 24 * 60 * 60

export interface FollowerOptions {
  readonly issuer: string
  /** The address of the snapshot; the stream is at `/stream` below it. */
  readonly uri: string
  /** The keys of the issuer: those that its tokens are checked with. */
  readonly keys: KeySource
  readonly clock: Clock
  readonly clockTolerance_s: number
  /** A number from 0 to below 1. */
  readonly random: () => number
  /** Whether to follow the stream, and not to poll alone. */
  readonly stream: boolean
  readonly pollInterval_s: number
  readonly streamSilence_s: number
  /** How long one fetch of the snapshot may take. */
  readonly fetchTimeoutMs: number
  readonly entriesMax: number
  readonly maxStaleness_s?: number
}

/**
 * Follows what an issuer revokes (invariant 6): loads the snapshot, then hears each event on the
 * stream, and polls the snapshot for as long as no stream says that it is alive.
 *
 * Nothing is taken in that the issuer has not signed, and nothing that was taken in goes before its
 * time: neither an old snapshot nor a replayed event makes a revoked token good again. Each event
 * names the one before it; where one is missing, the snapshot is loaded anew.
 */
export class RevocationFollower implements Revocations {
  readonly maxStaleness_s?: number
  readonly #options: FollowerOptions
  readonly #rules: RevocationRules
  readonly #freshness: Freshness
  readonly #polls: Polls
  readonly #stream: Stream | null
  readonly #loaded = Promise.withResolvers<void>()
  readonly #pruning: NodeJS.Timeout
  #isPending = true
  #ready: Promise<void> | null = null
  /** All up to here is known; null while a snapshot is needed. */
  #position: string | null = null
  /** The last event of the stream that is open; a poll meanwhile may know of later ones. */
  #heard: string | null = null
  #etag: string | null = null
  #kept_s = keptUntilTold_s

  constructor(options: FollowerOptions) {
    const { uri, clock, random, clockTolerance_s } = options
    this.#options = options
    if (options.maxStaleness_s !== undefined) this.maxStaleness_s = options.maxStaleness_s
    this.#rules = new RevocationRules(options.entriesMax)
    this.#freshness = new Freshness(clock, clockTolerance_s)
    this.#polls = new Polls({
      load: (signal) => this.#load(signal),
      intervalMs: options.pollInterval_s * 1000,
      timeoutMs: options.fetchTimeoutMs,
      random,
      onRecovered: () => this.#stream?.hurry(),
    })
    this.#pruning = setInterval(() => this.#prune(), pruneEveryMs).unref()
    this.#polls.start()
    void this.#polls.now()
    this.#stream = options.stream ? this.#openStream(uri) : null
  }

  isRevoked(claims: AccessTokenClaims, kid: string): boolean {
    return this.#rules.isRevoked(claims, kid)
  }

  staleness_s(): number {
    return this.#freshness.staleness_s()
  }

  get isPending(): boolean {
    return this.#isPending
  }

  /**
   * Resolves when the list is here, or two seconds after the first call. To be called when there are
   * keys: the list is signed.
   */
  ready(): Promise<void> {
    this.#ready ??= this.#firstList()
    return this.#ready
  }

  status(): RevocationsStatus {
    const isStreaming = this.#stream?.isOpen ?? false
    const error = isStreaming ? null : (this.#polls.lastError ?? this.#stream?.lastError ?? null)
    return {
      state: isStreaming ? 'streaming' : this.#polls.isWell ? 'polling' : 'down',
      lag_s: this.#freshness.lag_s(),
      loaded: Number.isFinite(this.#freshness.staleness_s()),
      entries: this.#rules.entries,
      coarsened: this.#rules.coarsened,
      lastError: error && errorText(error),
    }
  }

  /** Stops following. What is in memory is still refused. */
  async close(): Promise<void> {
    clearInterval(this.#pruning)
    this.#loaded.resolve()
    await Promise.all([this.#polls.close(), this.#stream?.close()])
  }

  async #firstList(): Promise<void> {
    if (!this.#isPending) return
    const late = Promise.withResolvers<void>()
    const timer = setTimeout(late.resolve, startMs)
    void this.#polls.now()
    await Promise.race([this.#loaded.promise, late.promise])
    clearTimeout(timer)
    this.#isPending = false
  }

  #openStream(uri: string): Stream {
    const { clock, random, streamSilence_s } = this.#options
    return new Stream({
      uri: `${uri}/stream`,
      silenceMs: streamSilence_s * 1000,
      clock,
      random,
      position: async () => {
        await this.#polls.settled()
        this.#heard = this.#position
        return this.#position
      },
      onEvent: ({ id, name, data }) => this.#hear(id, name, data),
      onCurrent: (isSteady) => {
        this.#freshness.prove()
        if (isSteady) this.#polls.stop()
      },
      onEnd: () => {
        this.#polls.start()
        if (this.#position === null) void this.#polls.now()
      },
    })
  }

  async #load(signal: AbortSignal): Promise<void> {
    const { uri, clock, issuer } = this.#options
    const etag = this.#position === null ? null : this.#etag
    const fetched = await fetchSnapshot(uri, etag, clock, signal)
    if (fetched === null) {
      // The stream may have skipped an event while this answer was on its way.
      if (this.#position === null) return this.#load(signal)
      this.#freshness.prove()
      return
    }
    const payload = await openSigned(fetched.text, snapshotType, snapshotBytesMax, this.#signers())
    const { position, readAt_s, kept_s, entries } = readSnapshot(payload, issuer)
    this.#kept_s = kept_s
    this.#take(entries)
    this.#position = position
    this.#etag = fetched.etag
    this.#freshness.prove(readAt_s)
    this.#isPending = false
    this.#loaded.resolve()
  }

  async #hear(id: string, name: string, data: string): Promise<void> {
    if (name !== 'revocation') throw new Error('an event has a name that is not understood')
    const payload = await openSigned(data, securityEventType, eventBytesMax, this.#signers())
    const { position, previous, entry } = readEvent(payload, this.#options.issuer)
    if (position !== id) throw new Error('an event has the id of another')
    // It is the issuer's word, whatever comes before it.
    this.#take([entry])
    if (previous !== this.#heard) {
      this.#position = null
      throw new Error('an event does not follow the one before it')
    }
    this.#heard = position
    this.#position = position
  }

  #signers() {
    const isKeyRevoked = (kid: string) => this.#rules.isKeyRevoked(kid)
    return { keys: this.#options.keys, isKeyRevoked }
  }

  #take(entries: readonly RevokedEntry[]): void {
    let isKeyNew = false
    try {
      for (const entry of entries) {
        const isNew = !this.#isMoot(entry) && this.#rules.add(entry)
        if (isNew && entry.kind === 'key') isKeyNew = true
      }
    } finally {
      // The key is refused already; what the issuer signs with now may be one that we don't have.
      if (isKeyNew) void this.#options.keys.refreshNow()
    }
  }

  /** A log may still hold what has expired; a revoked key may be in a set that we have for longer. */
  #isMoot({ kind, at_s }: RevokedEntry): boolean {
    return kind !== 'key' && at_s < this.#now_s() - this.#keptHere_s()
  }

  #prune(): void {
    this.#rules.prune(this.#now_s(), this.#keptHere_s())
  }

  #keptHere_s(): number {
    return this.#kept_s + this.#options.clockTolerance_s
  }

  #now_s(): number {
    return Math.floor(this.#options.clock.nowMs() / 1000)
  }
}

/** When a follower last knew that it had missed nothing. */
export class Freshness {
  readonly #clock: Clock
  readonly #toleranceMs: number
  readonly #startedAtMs: number
  #provenAtMs: number | null = null

  constructor(clock: Clock, clockTolerance_s: number) {
    this.#clock = clock
    this.#toleranceMs = clockTolerance_s * 1000
    this.#startedAtMs = clock.nowMs()
  }

  /** Notes that nothing was missing now, or at a time by the clock of the issuer. */
  prove(issuer_s = Number.POSITIVE_INFINITY): void {
    // By the clock tolerance in favour of the issuer, and never in the future.
    const atMs = Math.min(this.#clock.nowMs(), issuer_s * 1000 + this.#toleranceMs)
    const before = this.#isSetBack() ? null : this.#provenAtMs
    this.#provenAtMs = Math.max(atMs, before ?? Number.NEGATIVE_INFINITY)
  }

  /** Seconds since then; before the first time, since the start. */
  lag_s(): number {
    const lagMs = this.#clock.nowMs() - (this.#provenAtMs ?? this.#startedAtMs)
    return Math.max(0, lagMs) / 1000
  }

  /** The same for who must not be wrong: Infinity before the first time, or if time went back. */
  staleness_s(): number {
    if (this.#provenAtMs === null || this.#isSetBack()) return Number.POSITIVE_INFINITY
    return this.lag_s()
  }

  /** A clock that was set back would make old proof look new. */
  #isSetBack(): boolean {
    return this.#clock.nowMs() < (this.#provenAtMs ?? 0) - this.#toleranceMs
  }
}
