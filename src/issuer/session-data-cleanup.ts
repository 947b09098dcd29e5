import type { Clock } from '../core/clock.ts'
import { SingleFlight } from '../core/single-flight.ts'
import { type DataStore, dataOwner } from '../stores/data-store.ts'
import { logStart, type Revocation, type SessionStore } from '../stores/ports.ts'

const pageSize = 100
/** With this many failed deletions the store is down: the log is read on once it is back. */
const maxFailed = 1_000
/** The entries of a second are deleted together, and a deletion that fails is repeated. */
const pollMs = 1_000

export interface SessionDataCleanupOptions {
  readonly data: Pick<DataStore, 'end'>
  readonly sessions: Pick<SessionStore, 'revocationsAfter'>
  /** The `iss` of the sessions. */
  readonly issuer: string
  /** Determines which revocations still matter. */
  readonly clock: Clock
  /** How long the store refuses writes after a revocation: until every token has expired, by any clock. */
  readonly closedMs: number
  /** Called once when deletions begin to fail. */
  onFailure(error: unknown): void
}

/**
 * Deletes the data of revoked sessions. It follows the revocation log, and repeats a deletion that
 * fails, without holding up those on other nodes. After a restart it begins at the start of the log.
 * Therefore data is deleted despite outages and crashes. Each issuer does this on its own: deleting
 * twice is harmless.
 */
export class SessionDataCleanup {
  readonly #options: SessionDataCleanupOptions
  readonly #timer: NodeJS.Timeout
  readonly #follow = new SingleFlight(() => this.#readLog())
  #position = logStart
  /** Entries before the position whose deletion has failed. */
  readonly #failed: Revocation[] = []
  /** The error of the last of these. */
  #error: unknown
  #isFailing = false
  #isClosed = false

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

  /** The next start handles the entries that are left. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#timer)
    await this.#follow.settled()
  }

  /** @throws the error of a deletion, after all have been tried */
  async #readLog(): Promise<void> {
    const retried = this.#failed.splice(0)
    for (let at = 0; at < retried.length; at += pageSize) {
      await this.#deleteAll(retried.slice(at, at + pageSize))
    }
    let isFull = true
    while (isFull && this.#failed.length < maxFailed && !this.#isClosed) {
      const page = await this.#options.sessions.revocationsAfter(this.#position, pageSize)
      // `Sessions.revokeAll` adds an entry for each session of a user.
      await this.#deleteAll(page.filter(({ kind }) => kind === 'session'))
      this.#position = page.at(-1)?.position ?? this.#position
      isFull = page.length === pageSize
    }
    if (this.#failed.length > 0) throw this.#error
  }

  async #deleteAll(revoked: readonly Revocation[]): Promise<void> {
    const { data, issuer, clock, closedMs } = this.#options
    const deletions = revoked.map(async (revocation) => {
      const { id, atMs } = revocation
      try {
        await data.end(dataOwner('session', issuer, id), atMs + closedMs, clock.nowMs())
      } catch (error) {
        this.#failed.push(revocation)
        this.#error = error
      }
    })
    await Promise.all(deletions)
  }
}
