import { GatepassError } from '../core/errors.ts'

const retryAfterSeconds = 1

/** The calls to a store that are in progress. Limits their number, and lets a close wait for them. */
export class InFlightCalls {
  readonly #maxCalls: number
  readonly #idle = Promise.withResolvers<void>()
  #count = 0
  #isClosed = false

  constructor(maxCalls: number) {
    this.#maxCalls = maxCalls
  }

  /** @throws `store_unavailable` if the store is closed or too many calls run; the error of the call */
  async run<T>(call: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw refused('The store is closed.')
    if (this.#count >= this.#maxCalls) throw refused('The store has too many calls in progress.')
    this.#count += 1
    try {
      return await call()
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

function refused(detail: string): GatepassError {
  return new GatepassError('store_unavailable', { detail, retryAfterSeconds })
}

/**
 * Returns `store_unavailable` for an error that a store or its library has caused. Our own errors stay
 * as they are.
 *
 * @param cause must not quote values, because it may be logged
 * @param detail for the operator
 */
export function storeUnavailable(cause: unknown, detail?: string): GatepassError {
  if (cause instanceof GatepassError) return cause
  return new GatepassError('store_unavailable', {
    cause,
    retryAfterSeconds,
    ...(detail !== undefined && { detail }),
  })
}

/**
 * Returns the message of an error without a full stop. An error for several addresses of one name has
 * only a code.
 */
export function reasonOf(error: Error): string {
  const { message, code } = error as NodeJS.ErrnoException
  return (message || code || 'no reason is known').replace(/\.$/, '')
}

/** Returns why a TLS connection to a server fails at each attempt, or null for another error. */
export function tlsFailure(server: string, error: Error): string | null {
  const { code = '' } = error as NodeJS.ErrnoException
  if (!/CERT|SSL|TLS|UNABLE_TO/.test(code)) return null
  return `The TLS connection to ${server} fails: its certificate or host name, or ours, is refused (${code}).`
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
