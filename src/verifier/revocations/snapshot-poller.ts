import { jittered } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import { SingleFlight } from '../../core/single-flight.ts'
import { abortAfter, ageSecondsOf, etagOf, get, RetryDelay, readBody } from '../http-client.ts'

/** Longest snapshot, in bytes: about 700,000 sessions, or 500,000 users. */
export const maxSnapshotBytes = 32 * 1024 * 1024
/** Delay before the first retry of a failed poll. It doubles with each failure. */
const firstRetryMs = 200
/** Longest delay of a retry, unless polls are more frequent: a stream cannot start without a snapshot. */
const maxRetryMs = 30_000

export interface SnapshotResponse {
  readonly etag: string | null
  /** The snapshot; null if the known snapshot is current. */
  readonly text: string | null
  /** Time that the response has spent in HTTP caches. */
  readonly ageSeconds: number
}

/**
 * Fetches the snapshot.
 *
 * @param etag entity tag of the known snapshot
 * @throws ResponseError, Error for any other failure, or the reason of `signal`
 */
export async function fetchSnapshot(
  uri: string,
  etag: string | null,
  clock: Clock,
  signal: AbortSignal,
): Promise<SnapshotResponse> {
  const response = await get({ uri, headers: { accept: 'application/jwt' }, etag, clock, signal })
  const ageSeconds = ageSecondsOf(response)
  if (response.status === 304) return { etag, text: null, ageSeconds }
  const body = await readBody(response, maxSnapshotBytes, signal)
  return { etag: etagOf(response), text: body.toString('latin1'), ageSeconds }
}

export interface SnapshotPollerOptions {
  /** Fetches the snapshot and applies it. */
  readonly load: (signal: AbortSignal) => Promise<void>
  readonly intervalMs: number
  /** Timeout of one poll. */
  readonly timeoutMs: number
  /** Called when a poll succeeds after a poll that failed. */
  readonly onRecovered: () => void
}

/** Polls the snapshot between `start` and `stop`, one poll at a time. */
export class SnapshotPoller {
  readonly #options: SnapshotPollerOptions
  readonly #retryDelay: RetryDelay
  readonly #polling: SingleFlight
  /** Aborts the poll that runs. */
  #aborter: AbortController | null = null
  #isClosed = false
  #isStarted = false
  #hasSucceeded = false
  #timer: NodeJS.Timeout | undefined

  constructor(options: SnapshotPollerOptions) {
    this.#options = options
    const limits = { minMs: firstRetryMs, maxMs: Math.min(options.intervalMs, maxRetryMs) }
    this.#retryDelay = new RetryDelay(limits)
    this.#polling = new SingleFlight(() => this.#poll())
  }

  /** Why the last poll failed; null if it succeeded. */
  get lastError(): Error | null {
    return this.#polling.lastError
  }

  /** Whether the last poll succeeded, and more may follow. */
  get isHealthy(): boolean {
    return this.#hasSucceeded && this.lastError === null && !this.#isClosed
  }

  /** Polls within an interval, and then regularly. */
  start(): void {
    if (this.#isStarted) return
    this.#isStarted = true
    this.#schedule()
  }

  stop(): void {
    this.#isStarted = false
    clearTimeout(this.#timer)
  }

  /** Polls immediately, or joins the poll that runs. Never rejects: `lastError` has the error. */
  async pollNow(): Promise<void> {
    if (!this.#isClosed) await this.#polling.run()
  }

  /** Resolves when no poll runs. */
  settled(): Promise<void> {
    return this.#polling.settled()
  }

  async close(): Promise<void> {
    this.stop()
    this.#isClosed = true
    this.#aborter?.abort(new Error('the verifier was closed'))
    await this.settled()
  }

  #schedule(waitMs = jittered(this.#options.intervalMs)): void {
    clearTimeout(this.#timer)
    if (this.#isClosed) return
    this.#timer = setTimeout(() => void this.pollNow(), waitMs).unref()
  }

  async #poll(): Promise<void> {
    clearTimeout(this.#timer)
    const { load, timeoutMs, onRecovered } = this.#options
    const hadFailed = this.lastError !== null
    this.#aborter = new AbortController()
    try {
      await abortAfter(timeoutMs, this.#aborter, load)
    } catch (error) {
      if (this.#isStarted) this.#schedule(this.#retryDelay.afterMs(error as Error))
      throw error
    }
    this.#hasSucceeded = true
    this.#retryDelay.reset()
    if (hadFailed) onRecovered()
    if (this.#isStarted) this.#schedule()
  }
}
