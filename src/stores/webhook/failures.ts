import { GatepassError } from '../../core/errors.ts'

/** After how long a call that failed is worth another try, when nothing better is known. */
const retryAfter_s = 1

/**
 * Why there is no answer to use. The message is a clause of ours for the log: it never quotes what
 * was sent or received, as both hold password hashes.
 */
export class ExchangeError extends Error {
  override readonly name = 'ExchangeError'
  /**
   * Whether the user base was out of reach, or says itself that it can't serve now. Otherwise it has
   * answered, though with nothing of use.
   */
  readonly isOutage: boolean

  constructor(message: string, isOutage: boolean) {
    super(message)
    this.isOutage = isOutage
  }
}

export function isOutage(error: unknown): boolean {
  return error instanceof ExchangeError && error.isOutage
}

/** @param reason a clause without its full stop, for the log and the command line */
export function unavailable(reason: string, wait_s = retryAfter_s): GatepassError {
  return new GatepassError('store_unavailable', {
    detail: `The user base is not available: ${reason}.`,
    retryAfter_s: wait_s,
  })
}
