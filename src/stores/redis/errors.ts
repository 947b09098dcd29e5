import { ClientClosedError, ClientOfflineError, ErrorReply } from '@redis/client'
import { GatepassError } from '../../core/errors.ts'

/** What a caller is told to wait when Redis did not answer. */
const retryAfterSeconds = 1

/** Answers of a server that did nothing, and that it or its successor gives no more in a moment. */
const notNow = /^(TRYAGAIN|CLUSTERDOWN|LOADING|MASTERDOWN|NOREPLICAS|READONLY|BUSY|MOVED|ASK) /

/** Whether the command has certainly not run, and may in a moment. */
export function isWorthAnother(error: unknown): boolean {
  if (isAnswer(error)) return notNow.test(error.message)
  if (error instanceof ClientClosedError || error instanceof ClientOfflineError) return true
  // A slot moves to a node that has none yet, and so is not in the map that the client looks it up in.
  return error instanceof Error && error.message.startsWith('Cannot find node')
}

/** Whether the server has spoken, be it to refuse. */
export function isAnswer(error: unknown): error is Error {
  return error instanceof ErrorReply
}

export function isUnknownScript(error: unknown): boolean {
  return isAnswer(error) && error.message.startsWith('NOSCRIPT')
}

/** The server was the primary, and another is now. */
export function isDemoted(error: unknown): boolean {
  return isAnswer(error) && error.message.startsWith('READONLY')
}

/** The primary has fewer replicas than it must have to write. */
export function isWithoutReplicas(error: unknown): boolean {
  return isAnswer(error) && error.message.startsWith('NOREPLICAS')
}

/** What went wrong as our own error; the log gets what Redis said, without what we had said. */
export function unavailable(cause: unknown, detail?: string): GatepassError {
  if (cause instanceof GatepassError) return cause
  return new GatepassError('store_unavailable', {
    cause: isAnswer(cause) ? toldApart(cause) : cause,
    retryAfterSeconds,
    ...(detail !== undefined && { detail }),
  })
}

/**
 * What an error says, and nothing else of it: Redis repeats the arguments of an unknown command, and
 * those of HELLO, unknown to an old Redis, hold the password.
 */
export function toldApart(error: unknown): Error {
  const { message, code, cause }: Cause = error instanceof Error ? error : new Error(`${error}`)
  const told: Cause = new Error(message.replace(/,? with args beginning with.*/s, ''))
  // The Sentinel client wraps the errors of its connections.
  const anyCode = code ?? (cause as Cause | undefined)?.code
  return anyCode === undefined ? told : Object.assign(told, { code: anyCode })
}

type Cause = NodeJS.ErrnoException

/** Why Redis can't be opened, when no second attempt would change that; null when one might. */
export function hopelessness(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  if (/\b(WRONGPASS|NOAUTH|NOPERM)\b|AUTH.* without any password/.test(error.message)) {
    return 'Redis refuses the user name or the password, or allows the user too little.'
  }
  if (/CERT|SSL|TLS|UNABLE_TO/.test((error as NodeJS.ErrnoException).code ?? '')) {
    return 'The TLS connection to Redis fails: its certificate or host name, or ours, is refused.'
  }
  return null
}
