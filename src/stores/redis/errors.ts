import { ClientClosedError, ClientOfflineError, ErrorReply } from '@redis/client'
import { GatepassError } from '../../core/errors.ts'

const retryAfterSeconds = 1

/** Error replies of a server that did not run the command and may run it in a moment. */
const temporary = /^(TRYAGAIN|CLUSTERDOWN|LOADING|MASTERDOWN|NOREPLICAS|READONLY|BUSY|MOVED|ASK) /

/** Whether the server replied with an error. Otherwise the command may have run. */
export function isErrorReply(error: unknown): error is Error {
  return error instanceof ErrorReply
}

/** Whether the command has certainly not run and may succeed in a moment. */
export function isTemporary(error: unknown): boolean {
  if (isErrorReply(error)) return temporary.test(error.message)
  if (error instanceof ClientClosedError || error instanceof ClientOfflineError) return true
  // A slot moves to a node without slots, which the client does not know yet.
  return error instanceof Error && error.message.startsWith('Cannot find node')
}

export function isUnknownScript(error: unknown): boolean {
  return isErrorReply(error) && error.message.startsWith('NOSCRIPT')
}

/** Whether the server has become a replica of another primary. */
export function isDemoted(error: unknown): boolean {
  return isErrorReply(error) && error.message.startsWith('READONLY')
}

/** Whether the primary has too few replicas to write. */
export function isMissingReplicas(error: unknown): boolean {
  return isErrorReply(error) && error.message.startsWith('NOREPLICAS')
}

export function unavailable(cause: unknown, detail?: string): GatepassError {
  if (cause instanceof GatepassError) return cause
  return new GatepassError('store_unavailable', {
    cause: isErrorReply(cause) ? withoutArguments(cause) : cause,
    retryAfterSeconds,
    ...(detail !== undefined && { detail }),
  })
}

/**
 * Copies message and code of an error. Redis quotes the arguments of an unknown command, and those of
 * HELLO, unknown to an old Redis, contain the password.
 */
export function withoutArguments(error: unknown): Error {
  const { message, code, cause }: SystemError =
    error instanceof Error ? error : new Error(`${error}`)
  const copy: SystemError = new Error(message.replace(/,? with args beginning with.*/s, ''))
  // The Sentinel client wraps the errors of its connections.
  const anyCode = code ?? (cause as SystemError | undefined)?.code
  return anyCode === undefined ? copy : Object.assign(copy, { code: anyCode })
}

type SystemError = NodeJS.ErrnoException

/** Returns why a retry cannot succeed, or null if it might. */
export function fatalReason(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  if (/\b(WRONGPASS|NOAUTH|NOPERM)\b|AUTH.* without any password/.test(error.message)) {
    return 'Redis refuses the user name or the password, or allows the user too little.'
  }
  if (/CERT|SSL|TLS|UNABLE_TO/.test((error as SystemError).code ?? '')) {
    return 'The TLS connection to Redis fails: its certificate or host name, or ours, is refused.'
  }
  return null
}
