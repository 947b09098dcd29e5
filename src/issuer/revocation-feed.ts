import type { Clock } from '../core/clock.ts'
import { digest } from '../core/secrets.ts'
import { SingleFlight } from '../core/single-flight.ts'
import { logStart, type Revocation, type SessionStore } from '../stores/ports.ts'

/** How often a replica looks at the log: what another one writes is out within a quarter second. */
const pollMs = 100
/** So long an entry matters to what is signed after it: more than clocks of replicas may differ. */
const latelyMs = 10_000
/** Entries read in one look. */
const pageSize = 1000

export interface RevocationFeedOptions {
  readonly sessions: Pick<SessionStore, 'revocationsAfter'>
  readonly clock: Clock
  /** Says what has expired; without it, `clock` does. */
  readonly expiryClock?: Clock
  /** How long an entry matters: until the last token that it ends has expired by any clock. */
  readonly keptMs: number
}

/**
 * An entry as verifiers are told of it. Its position has a mark of what it says: a log that was lost,
 * or set back to a backup, counts from the same numbers again, but tells of other things.
 */
export interface FeedEntry extends Revocation {
  /** The position of the entry before it; '' before the first one that this replica has read. */
  readonly previous: string
}

type Listener = (entries: readonly FeedEntry[]) => void

/**
 * One replica's copy of the revocation log (invariant 6): followed in the background, answered from
 * memory, so that neither verifiers nor their number are felt by the store.
 */
export class RevocationFeed {
  readonly #options: RevocationFeedOptions
  readonly #listeners = new Set<Listener>()
  readonly #timer: NodeJS.Timeout
  #entries: FeedEntry[] = []
  #position = logStart
  /** The same as the store counts. */
  #storePosition = logStart
  #readAtMs: number | null = null
  /** Who has ended all sessions lately, and when; '' is everybody. */
  readonly #endedAtMs = new Map<string, number>()
  readonly #look = new SingleFlight(() => this.#read())

  private constructor(options: RevocationFeedOptions) {
    this.#options = options
    this.#timer = setInterval(() => this.refresh(), pollMs).unref()
  }

  /** Reads the log. A store that is away now is asked again: `lastError` says so until then. */
  static async open(options: RevocationFeedOptions): Promise<RevocationFeed> {
    const feed = new RevocationFeed(options)
    await feed.refresh()
    return feed
  }

  /** What went wrong at the last look; null when nothing did. For readiness. */
  get lastError(): Error | null {
    return this.#look.lastError
  }

  /** When the log was last read; null before the first time. */
  get readAtMs(): number | null {
    return this.#readAtMs
  }

  /** How long an entry matters after its time. */
  get keptMs(): number {
    return this.#options.keptMs
  }

  /** The last entry that is known; '' before the first. */
  get position(): string {
    return this.#position
  }

  /**
   * What still matters, oldest first, behind a position. A position that is not known (too old, or
   * lost with a store) gives all: an entry that is told twice does no harm.
   */
  entriesAfter(position: string = logStart): readonly FeedEntry[] {
    const at = this.#entries.findIndex((entry) => entry.position === position)
    return this.#entries.slice(at + 1)
  }

  /**
   * The last second whose tokens have ended for this user, who may have signed in again in that very
   * second; null where that is long ago. Tokens tell time in whole seconds.
   */
  revokedUntilSeconds(sub: string): number | null {
    const atMs = Math.max(this.#endedAtMs.get(sub) ?? 0, this.#endedAtMs.get('') ?? 0)
    return atMs === 0 ? null : Math.floor(atMs / 1000)
  }

  /** Hands new entries over as they come, until the returned function is called. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Looks at the log, if nobody is looking. Never rejects. */
  refresh(): Promise<void> {
    return this.#look.run()
  }

  /** Looks at the log as it is now: a look that is under way may have missed the last. Never rejects. */
  async refreshNow(): Promise<void> {
    await this.#look.settled()
    await this.#look.run()
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#look.settled()
    this.#listeners.clear()
  }

  async #read(): Promise<void> {
    const { sessions, clock, expiryClock = clock, keptMs } = this.#options
    const startedAtMs = clock.nowMs()
    let page: Revocation[]
    do {
      page = await sessions.revocationsAfter(this.#storePosition, pageSize)
      if (page.length > 0) this.#take(page)
    } while (page.length === pageSize)
    this.#readAtMs = startedAtMs

    const nowMs = expiryClock.nowMs()
    const expiredMs = nowMs - keptMs
    const live = this.#entries.findIndex(({ atMs }) => atMs > expiredMs)
    this.#entries.splice(0, live === -1 ? this.#entries.length : live)
    for (const [sub, atMs] of this.#endedAtMs) {
      if (atMs < nowMs - latelyMs) this.#endedAtMs.delete(sub)
    }
  }

  #take(page: readonly Revocation[]): void {
    const entries = page.map((entry) => {
      const previous = this.#position
      this.#position = markedPosition(entry)
      this.#storePosition = entry.position
      return { ...entry, position: this.#position, previous }
    })
    this.#entries.push(...entries)
    for (const { kind, id, atMs } of page) {
      if (kind === 'user' || kind === 'all') this.#endedAtMs.set(kind === 'all' ? '' : id, atMs)
    }
    for (const listener of this.#listeners) listener(entries)
  }
}

/** The same on every replica that reads the same log. */
function markedPosition({ position, kind, id, atMs }: Revocation): string {
  const mark = digest(JSON.stringify([kind, id, atMs]))
    .toString('base64url')
    .slice(0, 8)
  return `${position}.${mark}`
}
