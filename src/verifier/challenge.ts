import type { GatepassError } from '../core/errors.ts'

/** Whether a text is a scope list that can stand in a header: RFC 6749 §3.3, and spaces. */
export function isScopeList(text: string): boolean {
  return /^[\x21\x23-\x5b\x5d-\x7e ]+$/.test(text)
}

/**
 * The headers of an answer that refuses a request for its bearer token: the challenge of RFC 6750
 * §3, or when to come back if the keys are not available.
 *
 * @param requiredScope what the token would have needed, for `scope_insufficient`
 */
export function challengeHeaders(
  error: GatepassError,
  requiredScope = '',
): Readonly<Record<string, string>> {
  if (error.status === 401) return { 'www-authenticate': unauthorized(error) }
  if (error.status === 403) return { 'www-authenticate': insufficientScope(requiredScope) }
  if (error.status === 503) return { 'retry-after': String(error.retryAfter_s ?? 1) }
  return {}
}

/** A request without a token gets no error, as it has made none (RFC 6750 §3.1). */
function unauthorized({ code }: GatepassError): string {
  if (code === 'token_missing') return 'Bearer'
  return `Bearer error="invalid_token", error_description="${code}"`
}

function insufficientScope(requiredScope: string): string {
  const scope = isScopeList(requiredScope) ? `, scope="${requiredScope}"` : ''
  return `Bearer error="insufficient_scope"${scope}`
}
