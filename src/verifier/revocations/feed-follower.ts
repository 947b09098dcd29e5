import { type Clock, nowSeconds } from '../../core/clock.ts'
import { messagesOf } from '../../core/error-text.ts'
import { waitAtMost } from '../../core/promise.ts'
import type { AccessTokenClaims } from '../../tokens/access-token.ts'
import {
  type RevocationEntry,
  readRevocationEvent,
  readRevocationSnapshot,
  securityEventType,
  snapshotType,
} from '../../tokens/revocation-tokens.ts'
import type { KeySource } from '../keys/key-source.ts'
import { verifyIssuerMessage } from '../signature.ts'
import { type EventMessage, EventStream, maxEventBytes } from './event-stream.ts'
import { RevocationList, type Revocations, type RevocationsStatus } from './revocation-list.ts'
import { fetchSnapshot, maxSnapshotBytes, SnapshotPoller } from './snapshot-poller.ts'

/** Time for which the first token waits for the list: enough for a few attempts. */
const firstListTimeoutMs = 2_000
/** Interval at which expired entries are removed. */
const pruneIntervalMs = 10_000
/** Age of a list that is no update. An issuer that reads its log sends a list of the last seconds. */
const maxLoadedAgeSeconds = 10
/** Time for which entries are kept until the issuer names it. */
const defaultKept_s = 24 * 60 * 60

export interface FeedFollowerOptions {
  readonly issuer: string
  /** Address of the snapshot. The stream is at `/stream` below it. */
  readonly uri: string
  /** The keys of the issuer, which sign its tokens and its feed. */
  readonly keys: KeySource
  readonly clock: Clock
  readonly clockToleranceSeconds: number
  /** Whether to follow the stream, besides polling. */
  readonly stream: boolean
  readonly pollIntervalSeconds: number
  readonly streamTimeoutSeconds: number
  /** Timeout of one fetch of the snapshot. */
  readonly fetchTimeoutMs: number
  readonly maxEntries: number
  readonly maxStalenessSeconds: number | undefined
}

/**
 * Follows the revocation feed of an issuer (invariant 6): the snapshot, then the stream, and the
 * snapshot again while no stream is alive or after a gap. Applies signed messages only, and never
 * weakens an entry: neither an old snapshot nor a replayed event makes a revoked token valid.
 */
export class FeedFollower implements Revocations {
  readonly maxStalenessSeconds: number | undefined
  readonly #options: FeedFollowerOptions
  readonly #list: RevocationList
  readonly #freshness: Freshness
  readonly #poller: SnapshotPoller
  readonly #stream: EventStream | null
  readonly #loaded = Promise.withResolvers<void>()
  readonly #pruning: NodeJS.Timeout
  #isPending = true
  #ready: Promise<void> | null = null
  /** Position up to which the list is complete; null while a snapshot is needed. */
  #position: string | null = null
  /** Last event of the open stream. A poll may have loaded later ones. */
  #streamPosition: string | null = null
  #etag: string | null = null
  /**
   * The longest time for which the issuer keeps entries; null before the first snapshot. After its
   * token lifetime is shortened, older tokens still live as long as before.
   */
  #kept_s: number | null = null
  /** The latest time of the clock since a whole list was loaded. */
  #latest_s = 0

  constructor(options: FeedFollowerOptions) {
    const { clock, clockToleranceSeconds } = options
    this.#options = options
    this.maxStalenessSeconds = options.maxStalenessSeconds
    this.#list = new RevocationList(options.maxEntries, clockToleranceSeconds)
    this.#freshness = new Freshness(clock, clockToleranceSeconds)
    this.#poller = new SnapshotPoller({
      load: (signal) => this.#loadRecent(signal),
      intervalMs: options.pollIntervalSeconds * 1000,
      timeoutMs: options.fetchTimeoutMs,
      onRecovered: () => this.#stream?.reconnectNow(),
    })
    this.#pruning = setInterval(() => this.#prune(), pruneIntervalMs).unref()
    this.#poller.start()
    void this.#poller.pollNow()
    this.#stream = options.stream ? this.#openStream() : null
  }

  isRevoked(claims: AccessTokenClaims, kid: string): boolean {
    return this.#list.isRevoked(claims, kid)
  }

  stalenessSeconds(): number {
    // An old confirmation would look recent.
    if (this.#isClockSetBack()) return Number.POSITIVE_INFINITY
    return this.#freshness.stalenessSeconds()
  }

  get isPending(): boolean {
    return this.#isPending
  }

  /**
   * Resolves when the first list is loaded, or two seconds after the first call. Call `ready` when
   * the keys are loaded, because the list is signed.
   */
  ready(): Promise<void> {
    this.#ready ??= this.#loadFirst()
    return this.#ready
  }

  status(): RevocationsStatus {
    const isStreaming = this.#stream?.isOpen ?? false
    const error = isStreaming ? null : (this.#poller.lastError ?? this.#stream?.lastError ?? null)
    return {
      state: isStreaming ? 'streaming' : this.#poller.isHealthy ? 'polling' : 'down',
      lagSeconds: this.#freshness.lagSeconds(),
      isLoaded: Number.isFinite(this.stalenessSeconds()),
      entries: this.#list.entries,
      coarsened: this.#list.coarsened,
      lastError: error && messagesOf(error),
    }
  }

  /** Stops following. The list in memory stays in use. */
  async close(): Promise<void> {
    clearInterval(this.#pruning)
    this.#loaded.resolve()
    await Promise.all([this.#poller.close(), this.#stream?.close()])
  }

  async #loadFirst(): Promise<void> {
    if (!this.#isPending) return
    void this.#poller.pollNow()
    await waitAtMost(this.#loaded.promise, firstListTimeoutMs)
    this.#isPending = false
  }

  #openStream(): EventStream {
    const { uri, clock, streamTimeoutSeconds } = this.#options
    return new EventStream({
      uri: `${uri}/stream`,
      silenceTimeoutMs: streamTimeoutSeconds * 1000,
      clock,
      position: async () => {
        await this.#poller.settled()
        this.#streamPosition = this.#position
        return this.#position
      },
      onEvent: (message) => this.#applyEvent(message),
      onCurrent: (isReliable) => {
        this.#checkClock()
        if (this.#position === null) throw new Error('the clock was set back')
        this.#freshness.confirm()
        if (isReliable) this.#poller.stop()
      },
      onEnd: () => {
        this.#poller.start()
        if (this.#position === null) void this.#poller.pollNow()
      },
    })
  }

  /** Loads the list. @throws Error also for an old list, which is applied nevertheless */
  async #loadRecent(signal: AbortSignal): Promise<void> {
    await this.#load(signal)
    if (this.#freshness.lagSeconds() <= maxLoadedAgeSeconds) return
    throw new Error(
      'the list is old: the issuer cannot read its log, a cache responds for it, or the clocks differ',
    )
  }

  async #load(signal: AbortSignal): Promise<void> {
    const { uri, clock, issuer } = this.#options
    this.#checkClock()
    const etag = this.#position === null ? null : this.#etag
    const { text, ageSeconds, ...response } = await fetchSnapshot(uri, etag, clock, signal)
    if (text === null) {
      // A gap in the stream may have been found during this request.
      if (this.#position === null) return this.#load(signal)
      // An HTTP cache may respond while the issuer is unavailable.
      this.#freshness.confirm(nowSeconds(clock) - ageSeconds)
      return
    }
    const payload = await this.#verify(text, snapshotType, maxSnapshotBytes)
    const { position, readAt_s, kept_s, entries } = readRevocationSnapshot(payload, issuer)
    this.#latest_s = 0
    this.#addEntries(entries, kept_s)
    this.#position = position
    this.#etag = response.etag
    this.#freshness.confirm(readAt_s)
    this.#isPending = false
    this.#loaded.resolve()
  }

  /** A clock that was ahead has removed entries too early, so a whole snapshot is needed. */
  #checkClock(): void {
    if (this.#isClockSetBack()) this.#position = null
  }

  #isClockSetBack(): boolean {
    return this.#now_s() + this.#options.clockToleranceSeconds < this.#latest_s
  }

  async #applyEvent({ id, name, data }: EventMessage): Promise<void> {
    if (name !== 'revocation') throw new Error('an event has an unknown name')
    const payload = await this.#verify(data, securityEventType, maxEventBytes)
    const { issuer } = this.#options
    const { position, previous, kept_s, entry } = readRevocationEvent(payload, issuer)
    if (position !== id) throw new Error('an event has the id of another event')
    // An event is applied even after a gap, because the issuer has signed it.
    this.#addEntries([entry], kept_s)
    if (previous !== this.#streamPosition) {
      this.#position = null
      throw new Error('an event does not follow the previous one')
    }
    this.#streamPosition = position
    this.#position = position
  }

  #verify(text: string, typ: string, maxBytes: number): Promise<Buffer> {
    const isKeyRevoked = (kid: string) => this.#list.isKeyRevoked(kid)
    return verifyIssuerMessage(text, typ, maxBytes, { keys: this.#options.keys, isKeyRevoked })
  }

  #addEntries(entries: readonly RevocationEntry[], kept_s: number): void {
    this.#kept_s = Math.max(this.#kept_s ?? 0, kept_s)
    const oldest_s = this.#now_s() - this.#retention_s()
    let isKeyRevoked = false
    try {
      for (const entry of entries) {
        // A log may contain expired entries. A key set with a revoked key may be used for longer.
        const isExpired = entry.kind !== 'key' && entry.at_s < oldest_s
        const isNew = !isExpired && this.#list.add(entry)
        if (isNew && entry.kind === 'key') isKeyRevoked = true
      }
    } finally {
      // The issuer may sign with a key that is not loaded yet.
      if (isKeyRevoked) this.#refreshKeys().catch(() => {}) // no caller waits for the keys
    }
  }

  async #refreshKeys(): Promise<void> {
    await this.#options.keys.refreshNow()
  }

  #prune(): void {
    this.#list.prune(this.#now_s(), this.#retention_s())
  }

  /** Returns the time, and remembers the latest one. */
  #now_s(): number {
    const now_s = nowSeconds(this.#options.clock)
    this.#latest_s = Math.max(this.#latest_s, now_s)
    return now_s
  }

  #retention_s(): number {
    return (this.#kept_s ?? defaultKept_s) + this.#options.clockToleranceSeconds
  }
}

/** When the list was last known to be complete. */
class Freshness {
  readonly #clock: Clock
  readonly #toleranceMs: number
  readonly #startedAtMs: number
  #confirmedAtMs: number | null = null

  constructor(clock: Clock, clockToleranceSeconds: number) {
    this.#clock = clock
    this.#toleranceMs = clockToleranceSeconds * 1000
    this.#startedAtMs = clock.nowMs()
  }

  /**
   * Records that the list is complete at this moment, or was complete at a time by the clock of the
   * issuer.
   */
  confirm(issuerTime_s = Number.POSITIVE_INFINITY): void {
    const nowMs = this.#clock.nowMs()
    // The clock of the issuer may be behind by the tolerance. The result is never in the future.
    const atMs = Math.min(nowMs, issuerTime_s * 1000 + this.#toleranceMs)
    const previousMs = this.#confirmedAtMs ?? atMs
    // The clock may have been set back since the previous confirmation.
    this.#confirmedAtMs = previousMs > nowMs ? atMs : Math.max(atMs, previousMs)
  }

  /** Seconds since the confirmation; before the first one, since the start. */
  lagSeconds(): number {
    const lagMs = this.#clock.nowMs() - (this.#confirmedAtMs ?? this.#startedAtMs)
    return Math.max(0, lagMs) / 1000
  }

  /** Like `lagSeconds`, but Infinity before the first confirmation. */
  stalenessSeconds(): number {
    return this.#confirmedAtMs === null ? Number.POSITIVE_INFINITY : this.lagSeconds()
  }
}
