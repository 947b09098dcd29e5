import type { Clock } from '../core/clock.ts'
import { digestText } from '../core/secrets.ts'
import { SingleFlight } from '../core/single-flight.ts'
import { logStart, type Revocation, type SessionStore } from '../stores/ports.ts'
import type { RevocationEvent } from '../tokens/revocation-tokens.ts'

/** With this interval, a revocation by another replica reaches verifiers within 250 ms. */
const pollMs = 100
/** A copy of the log that is older than this counts as outdated: the process may have stood still. */
const maxAgeMs = 3_000
/**
 * How long a revocation of all sessions of a user affects the `iat` of new tokens. Longer than the
 * difference between the clocks of replicas.
 */
const recentMs = 10_000
const pageSize = 1000

export interface RevocationFeedOptions {
  readonly sessions: Pick<SessionStore, 'revocationsAfter'>
  readonly clock: Clock
  /** Determines which entries have expired. */
  readonly expiryClock: Clock
  /** How long a revocation matters: until the last token that it revokes has expired, by any clock. */
  readonly keptMs: number
}

type Listener = (entries: readonly RevocationEvent[]) => void

/**
 * One replica's copy of the revocation log (invariant 6). It polls the store in the background and
 * answers from memory, so the load of the store does not depend on the number of verifiers.
 */
export class RevocationFeed {
  readonly #options: RevocationFeedOptions
  readonly #listeners = new Set<Listener>()
  readonly #timer: NodeJS.Timeout
  readonly #entries: RevocationEvent[] = []
  #position = logStart
  /** The position of the same entry in the store. */
  #storePosition = logStart
  #readAtMs: number | null = null
  #keptMs: number
  /** When all sessions of a user were last revoked, by `sub`; '' stands for all users. */
  readonly #revokedAtMs = new Map<string, number>()
  readonly #poll = new SingleFlight(() => this.#read())

  private constructor(options: RevocationFeedOptions) {
    this.#options = options
    this.#keptMs = options.keptMs
    this.#timer = setInterval(() => this.refresh(), pollMs).unref()
  }

  /** Reads the log and starts to poll. While the store is unavailable, `lastError` is set. */
  static async open(options: RevocationFeedOptions): Promise<RevocationFeed> {
    const feed = new RevocationFeed(options)
    await feed.refresh()
    return feed
  }

  /** The error of the last poll; null if it succeeded. */
  get lastError(): Error | null {
    return this.#poll.lastError
  }

  /** When the log was last read; null before the first time. */
  get readAtMs(): number | null {
    return this.#readAtMs
  }

  /** Whether the log was read a moment ago. Otherwise the feed must not claim that nothing is new. */
  get isCurrent(): boolean {
    const ageMs = this.#options.clock.nowMs() - (this.#readAtMs ?? 0)
    return this.lastError === null && Math.abs(ageMs) <= maxAgeMs
  }

  /** How long a revocation matters. The log may have entries from before the tokens were shortened. */
  get keptMs(): number {
    return this.#keptMs
  }

  /** The position of the last entry; '' before the first. */
  get position(): string {
    return this.#position
  }

  /**
   * Returns the newest `max` entries after a position, oldest first. After an unknown position it returns
   * the newest `max` of all: its entry expired, or the store lost it, and receiving an entry twice is
   * harmless.
   */
  entriesAfter(
    position: string = logStart,
    max = Number.POSITIVE_INFINITY,
  ): readonly RevocationEvent[] {
    const newest = this.#entries.slice(-max)
    return newest.slice(newest.findIndex((entry) => entry.position === position) + 1)
  }

  /**
   * Returns the last second whose tokens are revoked for a user; 0 if that is long ago. A token that
   * is minted for the user must be of a later second.
   */
  revokedUntilSeconds(sub: string): number {
    const atMs = Math.max(this.#revokedAtMs.get(sub) ?? 0, this.#revokedAtMs.get('') ?? 0)
    return Math.floor(atMs / 1000)
  }

  /** Calls a listener with new entries until the returned function is called. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Polls the log, unless a poll is in progress. Never rejects. */
  refresh(): Promise<void> {
    return this.#poll.run()
  }

  /**
   * Polls the log once more if a poll is in progress, because that poll may have missed the last
   * entry. Never rejects.
   */
  refreshNow(): Promise<void> {
    return this.#poll.runAgain()
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#poll.settled()
    this.#listeners.clear()
  }

  async #read(): Promise<void> {
    const { sessions, clock, expiryClock } = this.#options
    const startedAtMs = clock.nowMs()
    let page: Revocation[]
    do {
      page = await sessions.revocationsAfter(this.#storePosition, pageSize)
      if (page.length > 0) this.#add(page)
    } while (page.length === pageSize)
    this.#readAtMs = startedAtMs

    const nowMs = expiryClock.nowMs()
    // An entry stays until those before it have expired. Otherwise each poll would read the whole log.
    const kept = this.#entries.findIndex(({ expiresAtMs }) => expiresAtMs > nowMs)
    this.#entries.splice(0, kept === -1 ? this.#entries.length : kept)
    for (const [sub, atMs] of this.#revokedAtMs) {
      if (atMs < nowMs - recentMs) this.#revokedAtMs.delete(sub)
    }
  }

  #add(page: readonly Revocation[]): void {
    const entries = page.map((entry) => {
      const previous = this.#position
      this.#position = feedPosition(entry)
      this.#storePosition = entry.position
      return { ...entry, position: this.#position, previous }
    })
    this.#entries.push(...entries)
    for (const { kind, id, atMs, expiresAtMs } of page) {
      this.#keptMs = Math.max(this.#keptMs, expiresAtMs - atMs)
      if (kind !== 'user' && kind !== 'all') continue
      const sub = kind === 'all' ? '' : id
      // The latest time counts, as for verifiers: a later entry may be dated by a slower clock.
      this.#revokedAtMs.set(sub, Math.max(atMs, this.#revokedAtMs.get(sub) ?? 0))
    }
    for (const listener of this.#listeners) listener(entries)
  }
}

/**
 * Returns the same position on every replica that reads the same log. It contains a hash of the content,
 * because after a loss or a restore the log repeats positions with other content.
 */
function feedPosition({ position, kind, id, atMs }: Revocation): string {
  const hash = digestText(JSON.stringify([kind, id, atMs])).slice(0, 8)
  return `${position}.${hash}`
}
