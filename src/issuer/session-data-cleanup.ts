import type { Clock } from '../core/clock.ts'
import { SingleFlight } from '../core/single-flight.ts'
import { type DataStore, dataOwner } from '../stores/data-store.ts'
import { logStart, type Revocation, type SessionStore } from '../stores/ports.ts'

const pageSize = 100
/** The entries of a second are deleted together, and a deletion that fails is repeated. */
const pollMs = 1_000

export interface SessionDataCleanupOptions {
  readonly data: Pick<DataStore, 'end'>
  readonly sessions: Pick<SessionStore, 'revocationsAfter'>
  /** The `iss` of the sessions. */
  readonly issuer: string
  readonly clock: Clock
  /** How long the store refuses writes after a revocation: until every token has expired, by any clock. */
  readonly closedMs: number
  /** Called once when deletions begin to fail. */
  onFailure(error: unknown): void
}

/**
 * Deletes the data of revoked sessions. It follows the revocation log, from the start after a
 * restart, and moves past an entry only when the data is deleted. Therefore data is deleted despite
 * outages and crashes. Each issuer does this on its own: deleting twice is harmless.
 */
export class SessionDataCleanup {
  readonly #options: SessionDataCleanupOptions
  readonly #timer: NodeJS.Timeout
  readonly #follow = new SingleFlight(() => this.#readLog())
  #position = logStart
  #isFailing = false

  constructor(options: SessionDataCleanupOptions) {
    this.#options = options
    this.#timer = setInterval(() => this.refresh(), pollMs).unref()
  }

  /** Handles the new entries of the log. Never rejects. */
  async refresh(): Promise<void> {
    await this.#follow.runAgain()
    const { lastError } = this.#follow
    if (lastError !== null && !this.#isFailing) this.#options.onFailure(lastError)
    this.#isFailing = lastError !== null
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#follow.settled()
  }

  async #readLog(): Promise<void> {
    let page: Revocation[]
    do {
      page = await this.#options.sessions.revocationsAfter(this.#position, pageSize)
      // `Sessions.revokeAll` adds an entry for each session of a user.
      const revoked = page.filter(({ kind }) => kind === 'session')
      await Promise.all(revoked.map(({ id, atMs }) => this.#delete(id, atMs)))
      this.#position = page.at(-1)?.position ?? this.#position
    } while (page.length === pageSize)
  }

  #delete(sid: string, revokedAtMs: number): Promise<void> {
    const { data, issuer, clock, closedMs } = this.#options
    return data.end(dataOwner('session', issuer, sid), revokedAtMs + closedMs, clock.nowMs())
  }
}
