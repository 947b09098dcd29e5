import { jittered } from '../../core/backoff.ts'
import { SingleFlight } from '../../core/single-flight.ts'
import { askedWaitMs, Backoff } from '../http-client.ts'

/** How soon a poll that failed is tried again; doubles with each failure, up to the interval. */
const firstRetryMs = 200

export interface PollsOptions {
  /** Asks for the snapshot and takes it in. */
  readonly load: (signal: AbortSignal) => Promise<void>
  readonly intervalMs: number
  /** How long one poll may take. */
  readonly timeoutMs: number
  readonly random: () => number
  /** Called when a poll goes well after one that did not. */
  readonly onRecovered: () => void
}

/** Polls, one at a time, while they are wanted. */
export class Polls {
  readonly #options: PollsOptions
  readonly #backoff: Backoff
  readonly #flight: SingleFlight
  /** Of the poll that is under way. */
  #aborter: AbortController | null = null
  #isClosed = false
  #wanted = false
  #hasSucceeded = false
  #timer: NodeJS.Timeout | undefined

  constructor(options: PollsOptions) {
    this.#options = options
    this.#backoff = new Backoff(firstRetryMs, options.intervalMs, options.random)
    this.#flight = new SingleFlight(() => this.#poll())
  }

  /** Why the last one failed; null when it did not. */
  get lastError(): Error | null {
    return this.#flight.lastError
  }

  /** Whether the last one went well. */
  get isWell(): boolean {
    return this.#hasSucceeded && this.lastError === null
  }

  /** Begins within an interval, unless they go on already. */
  start(): void {
    if (this.#wanted) return
    this.#wanted = true
    this.#schedule(this.#intervalMs())
  }

  stop(): void {
    this.#wanted = false
    clearTimeout(this.#timer)
  }

  /** Polls at once. Never rejects: `lastError` says how it went. */
  async now(): Promise<void> {
    if (this.#isClosed) return
    clearTimeout(this.#timer)
    const hadFailed = this.lastError !== null
    await this.#flight.run()
    const error = this.lastError
    if (error === null) {
      this.#hasSucceeded = true
      this.#backoff.reset()
      if (hadFailed) this.#options.onRecovered()
    }
    if (this.#wanted) this.#schedule(error === null ? this.#intervalMs() : this.#waitMs(error))
  }

  /** Resolves when none is under way. */
  settled(): Promise<void> {
    return this.#flight.settled()
  }

  async close(): Promise<void> {
    this.stop()
    this.#isClosed = true
    this.#aborter?.abort(new Error('the verifier was closed'))
    await this.settled()
  }

  #intervalMs(): number {
    return jittered(this.#options.intervalMs, this.#options.random)
  }

  #waitMs(error: Error): number {
    return Math.max(this.#backoff.nextMs(), askedWaitMs(error, this.#options.random))
  }

  #schedule(waitMs: number): void {
    clearTimeout(this.#timer)
    if (this.#isClosed) return
    this.#timer = setTimeout(() => void this.now(), waitMs).unref()
  }

  async #poll(): Promise<void> {
    const { load, timeoutMs } = this.#options
    const aborter = new AbortController()
    this.#aborter = aborter
    const timer = setTimeout(() => {
      aborter.abort(new Error(`there was no full answer within ${timeoutMs} ms`))
    }, timeoutMs)
    try {
      await load(aborter.signal)
    } finally {
      clearTimeout(timer)
    }
  }
}
