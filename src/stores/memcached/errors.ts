import { GatepassError } from '../../core/errors.ts'
import { ProtocolError } from './protocol.ts'

/** What a caller is told to wait when a node did not answer. */
const retryAfter_s = 1

/** There is no answer: a node is down, silent, cut off, or talks nonsense. */
export class NoAnswerError extends Error {
  override readonly name = 'NoAnswerError'
}

/** The node has answered meanwhile, but not all in time: it, or what is asked of it, is too much. */
export class TooSlowError extends Error {
  override readonly name = 'TooSlowError'
}

/** The node has spoken, and refuses. The message is its own, or a sentence of ours. */
export class RefusalError extends Error {
  override readonly name = 'RefusalError'
  /** Whether it is about the user name or the password. */
  readonly isAccess: boolean

  constructor(message: string, { isAccess = false } = {}) {
    super(message)
    this.isAccess = isAccess
  }
}

/** Whether a node is out of service, rather than unwilling. */
export function isOutage(error: unknown): boolean {
  return error instanceof NoAnswerError || (error instanceof RefusalError && error.isAccess)
}

/** What went wrong with a connection; the reason of the system stays readable as its cause. */
export function noAnswer(error: unknown): Error {
  if (error instanceof RefusalError || error instanceof NoAnswerError) return error
  const reason = error instanceof ProtocolError ? error.message : 'The connection is lost.'
  return new NoAnswerError(reason, { cause: error })
}

/** What went wrong as our own error. */
export function unavailable(cause: unknown, detail?: string): GatepassError {
  if (cause instanceof GatepassError) return cause
  return new GatepassError('store_unavailable', {
    cause,
    retryAfter_s,
    ...(detail !== undefined && { detail }),
  })
}

/** Why a node can't be used, when no second attempt would change that; null when one might. */
export function hopelessness(error: unknown): string | null {
  if (error instanceof RefusalError && error.isAccess) return error.message
  const cause = error instanceof Error ? (error.cause as NodeJS.ErrnoException | undefined) : null
  if (/CERT|SSL|TLS|UNABLE_TO/.test(cause?.code ?? '')) {
    return 'The TLS connection to memcached fails: its certificate or host name, or ours, is refused.'
  }
  return null
}
