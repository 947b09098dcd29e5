import type { Clock } from '../core/clock.ts'
import { SingleFlight } from '../core/single-flight.ts'
import { type DataStore, dataOwner } from '../stores/data-store.ts'
import { logStart, type Revocation, type SessionStore } from '../stores/ports.ts'
import type { RevocationFeed } from './revocation-feed.ts'

/** Entries dealt with at once. */
const pageSize = 100
/** How soon what has failed is tried again. */
const retryMs = 1_000

export interface SessionDataCleanupOptions {
  readonly data: Pick<DataStore, 'end'>
  readonly sessions: Pick<SessionStore, 'revocationsAfter'>
  /** The `iss` that the sessions are of. */
  readonly issuer: string
  readonly clock: Clock
  /** How long an access token may still be shown after its session has ended, by any clock. */
  readonly tokensLastMs: number
  /** Told when data could not be ended, once for each time that it begins to fail. */
  onFailure(error: unknown): void
}

/**
 * Ends the data of sessions that have ended, whoever ended them, by the revocation log. A place in the
 * log is left behind only when the data is gone, and a start begins with the first entry: so neither
 * a data store that is away nor an issuer that dies keeps data alive, as long as the log has the
 * entry. What is ended twice stays ended.
 *
 * Each issuer does so for itself. That is some deletions too many, and no agreement between issuers.
 */
export class SessionDataCleanup {
  readonly #options: SessionDataCleanupOptions
  readonly #timer: NodeJS.Timeout
  readonly #follow = new SingleFlight(() => this.#read())
  #position = logStart
  #isFailing = false
  #unsubscribe = () => {}

  constructor(options: SessionDataCleanupOptions) {
    this.#options = options
    this.#timer = setInterval(() => this.refresh(), retryMs).unref()
  }

  /** Begins, and is told of new entries from now on, rather than look for them now and then. */
  listenTo(feed: RevocationFeed): void {
    this.#unsubscribe = feed.subscribe(() => void this.refresh())
    void this.refresh()
  }

  /** Ends the data of one session soon. Never fails: what fails here is done by the log. */
  endSoon(sid: string): void {
    this.#end(sid, this.#options.clock.nowMs()).catch(() => {})
  }

  /** Deals with what is new in the log now. Never rejects. */
  async refresh(): Promise<void> {
    // A look that is under way may have been past the end of the log already.
    await this.#follow.settled()
    await this.#follow.run()
    const { lastError } = this.#follow
    if (lastError !== null && !this.#isFailing) this.#options.onFailure(lastError)
    this.#isFailing = lastError !== null
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#unsubscribe()
    await this.#follow.settled()
  }

  async #read(): Promise<void> {
    let page: Revocation[]
    do {
      page = await this.#options.sessions.revocationsAfter(this.#position, pageSize)
      // With all sessions of a user, each is in the log by itself (sessions.ts).
      const ended = page.filter(({ kind }) => kind === 'session')
      await Promise.all(ended.map(({ id, atMs }) => this.#end(id, atMs)))
      this.#position = page.at(-1)?.position ?? this.#position
    } while (page.length === pageSize)
  }

  #end(sid: string, endedAtMs: number): Promise<void> {
    const { data, issuer, clock, tokensLastMs } = this.#options
    return data.end(dataOwner('session', issuer, sid), endedAtMs + tokensLastMs, clock.nowMs())
  }
}
