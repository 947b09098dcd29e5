import { storeUnavailable } from './store-errors.ts'

/** The calls to a store that are in progress. Limits their number, and lets a close wait for them. */
export class InFlightCalls {
  readonly #maxCalls: number
  readonly #toError: (error: unknown) => unknown
  readonly #idle = Promise.withResolvers<void>()
  #count = 0
  #isClosed = false

  /** @param toError converts the error of a call */
  constructor(maxCalls: number, toError: (error: unknown) => unknown) {
    this.#maxCalls = maxCalls
    this.#toError = toError
  }

  /** @throws `store_unavailable` if the store is closed or too many calls run; the error of the call */
  async run<T>(call: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw storeUnavailable(undefined, 'The store is closed.')
    if (this.#count >= this.#maxCalls) {
      throw storeUnavailable(undefined, 'The store has too many calls in progress.')
    }
    this.#count += 1
    try {
      return await call()
    } catch (error) {
      throw this.#toError(error)
    } finally {
      this.#count -= 1
      if (this.#isClosed && this.#count === 0) this.#idle.resolve()
    }
  }

  /** Refuses further calls and waits for those in progress. */
  async close(): Promise<void> {
    this.#isClosed = true
    if (this.#count === 0) this.#idle.resolve()
    await this.#idle.promise
  }
}

/**
 * The reason of an abort that no caller sees. Without it, each abort creates an error with a stack
 * trace.
 */
const settled = new Error('The call has settled.')

/**
 * Runs work with a deadline.
 *
 * @param run receives a signal that is aborted at the deadline, and when the work has settled
 * @param onDeadline called when the work has not settled by the deadline; returns the error to throw
 */
export async function withDeadline<T>(
  deadlineMs: number,
  run: (signal: AbortSignal) => Promise<T>,
  onDeadline: () => Error,
): Promise<T> {
  const aborter = new AbortController()
  const expired = Promise.withResolvers<never>()
  const expire = () => {
    if (aborter.signal.aborted) return
    const error = onDeadline()
    expired.reject(error)
    aborter.abort(error)
  }
  // After a pause of the process, timers run before I/O: a response that has arrived is read first.
  const timer = setTimeout(() => setImmediate(expire), deadlineMs)
  try {
    return await Promise.race([run(aborter.signal), expired.promise])
  } finally {
    clearTimeout(timer)
    aborter.abort(settled)
  }
}
