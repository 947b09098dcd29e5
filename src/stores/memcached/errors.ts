import { GatepassError } from '../../core/errors.ts'
import { ProtocolError } from './protocol.ts'

const retryAfterSeconds = 1

/** No usable reply: the node is down, silent, unreachable, or violates the protocol. */
export class NoReplyError extends Error {
  override readonly name = 'NoReplyError'
}

/** The node replied during the call, but not to all of it before the deadline. */
export class TooSlowError extends Error {
  override readonly name = 'TooSlowError'
}

/** The node refused. The message is that of the node, or our own. */
export class RefusalError extends Error {
  override readonly name = 'RefusalError'
  /** Whether the user name or the password was refused. */
  readonly isAuthentication: boolean

  constructor(message: string, { isAuthentication = false } = {}) {
    super(message)
    this.isAuthentication = isAuthentication
  }
}

/** Whether the node is out of service, as opposed to refusing one call. */
export function isOutage(error: unknown): boolean {
  return error instanceof NoReplyError || (error instanceof RefusalError && error.isAuthentication)
}

/** Converts an error of a connection. An error of the system becomes the cause. */
export function toConnectionError(error: unknown): Error {
  if (error instanceof RefusalError || error instanceof NoReplyError) return error
  const reason = error instanceof ProtocolError ? error.message : 'The connection is lost.'
  return new NoReplyError(reason, { cause: error })
}

export function unavailable(cause: unknown, detail?: string): GatepassError {
  if (cause instanceof GatepassError) return cause
  return new GatepassError('store_unavailable', {
    cause,
    retryAfterSeconds,
    ...(detail !== undefined && { detail }),
  })
}

/** Returns why a retry cannot succeed, or null if it might. */
export function fatalReason(error: unknown): string | null {
  if (error instanceof RefusalError && error.isAuthentication) return error.message
  const cause = error instanceof Error ? (error.cause as NodeJS.ErrnoException | undefined) : null
  if (/CERT|SSL|TLS|UNABLE_TO/.test(cause?.code ?? '')) {
    return 'The TLS connection to memcached fails: its certificate or host name, or ours, is refused.'
  }
  return null
}
