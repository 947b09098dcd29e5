import { GatepassError } from '../core/errors.ts'

const retryAfterSeconds = 1

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

/** Returns why a TLS connection to a server fails at each attempt, or null for another error. */
export function tlsFailure(server: string, error: Error): string | null {
  const { code = '' } = error as NodeJS.ErrnoException
  if (!/CERT|SSL|TLS|UNABLE_TO/.test(code)) return null
  return `The TLS connection to ${server} fails: its certificate or host name, or ours, is refused (${code}).`
}
