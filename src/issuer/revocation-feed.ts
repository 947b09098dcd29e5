import type { Clock } from '../core/clock.ts'
import { SingleFlight } from '../core/single-flight.ts'
import { logStart, type Revocation, type SessionStore } from '../stores/ports.ts'

/** How often a replica looks at the log: what another one writes is out within a quarter second. */
const pollMs = 100
/** Entries read in one look. */
const pageSize = 1000

export interface RevocationFeedOptions {
  readonly sessions: Pick<SessionStore, 'revocationsAfter'>
  readonly clock: Clock
  /** How long an entry matters: until the last token that it ends has expired by any clock. */
  readonly keptMs: number
}

type Listener = (entries: readonly Revocation[]) => void

/**
 * One replica's copy of the revocation log (invariant 6): followed in the background, answered from
 * memory, so that neither verifiers nor their number are felt by the store.
 */
export class RevocationFeed {
  readonly #options: RevocationFeedOptions
  readonly #listeners = new Set<Listener>()
  readonly #timer: NodeJS.Timeout
  #entries: Revocation[] = []
  #position = logStart
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

  /** The last entry that is known; '' before the first. */
  get position(): string {
    return this.#position
  }

  /**
   * What still matters, oldest first, behind a position. A position that is not known (too old, or
   * lost with a store) gives all: an entry that is told twice does no harm.
   */
  entriesAfter(position: string = logStart): readonly Revocation[] {
    const at = this.#entries.findIndex((entry) => entry.position === position)
    return this.#entries.slice(at + 1)
  }

  /** Hands new entries over as they come, until the returned function is called. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Looks at the log now. Never rejects. */
  refresh(): Promise<void> {
    return this.#look.run()
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#look.settled()
    this.#listeners.clear()
  }

  async #read(): Promise<void> {
    const { sessions, clock, keptMs } = this.#options
    let page: Revocation[]
    do {
      page = await sessions.revocationsAfter(this.#position, pageSize)
      const last = page.at(-1)
      if (last === undefined) break
      this.#entries.push(...page)
      this.#position = last.position
      for (const listener of this.#listeners) listener(page)
    } while (page.length === pageSize)

    const expiredMs = clock.nowMs() - keptMs
    const live = this.#entries.findIndex(({ atMs }) => atMs > expiredMs)
    this.#entries.splice(0, live === -1 ? this.#entries.length : live)
  }
}
