import {
  type ErrorCode,
  GatepassError,
  isGatepassError,
  problemType,
  toProblem,
} from '../core/errors.ts'
import { algorithmNames } from '../tokens/algorithms.ts'
import type { TokenScheme } from './guard.ts'

/** The answer to a request that is refused for its token. */
export interface Refusal {
  readonly error: GatepassError
  /** The challenge of a 401 or 403, or the `Retry-After` of a 503; and `Cache-Control`. */
  readonly headers: Readonly<Record<string, string>>
  /** Of the media type `problemType`: says no more than the code, whatever the cause. */
  readonly body: string
}

export { problemType }

/**
 * Makes the answer to a request that is refused.
 *
 * @param thrown a GatepassError; anything else is a failure of our own, of which a client learns nothing
 * @param requiredScope as for `challengeHeaders`
 */
export function refusalOf(thrown: unknown, requiredScope = '', scheme?: TokenScheme): Refusal {
  const error = isGatepassError(thrown)
    ? thrown
    : new GatepassError('internal_error', { cause: thrown })
  const challenge = challengeHeaders(error, requiredScope, scheme)
  const namesClaims = error.code === 'token_claims' && !isProduction()
  return {
    error,
    headers: { ...challenge, 'cache-control': 'no-store' },
    body: JSON.stringify(toProblem(error, { namesClaims })),
  }
}

/** By the variable that Express and most build tools read. Deno may forbid that: production, then. */
function isProduction(): boolean {
  try {
    return process.env.NODE_ENV === 'production'
  } catch {
    return true
  }
}

/** Whether a text is a scope list that can stand in a header: RFC 6749 §3.3, and spaces. */
export function isScopeList(text: string): boolean {
  return /^[\x21\x23-\x5b\x5d-\x7e ]+$/.test(text)
}

/**
 * The headers of an answer that refuses a request for its token: the challenge of RFC 6750 §3 or of
 * RFC 9449 §7.1, or when to come back if the keys are not available.
 *
 * @param requiredScope what the token would have needed, for `scope_insufficient`
 * @param scheme by which the token was presented, or has to be; what is wrong may say so by itself
 */
export function challengeHeaders(
  error: GatepassError,
  requiredScope = '',
  scheme: TokenScheme = 'Bearer',
): Readonly<Record<string, string>> {
  if (error.status === 401) return { 'www-authenticate': unauthorized(error, scheme) }
  if (error.status === 403) return { 'www-authenticate': insufficientScope(requiredScope, scheme) }
  if (error.status === 503) return { 'retry-after': String(error.retryAfterSeconds ?? 1) }
  return {}
}

/** A request without a token gets no error, as it has made none (RFC 6750 §3.1). */
function unauthorized({ code }: GatepassError, scheme: TokenScheme): string {
  const isAboutKey = aboutKeys.has(code)
  const isDpop = scheme === 'DPoP' || isAboutKey
  // A bound token that comes as a bearer token is the wrong token there, whatever its proof.
  const isOfToken =
    code === 'token_unbound' || (code === 'dpop_proof_missing' && scheme === 'Bearer')
  const error = isAboutKey && !isOfToken ? 'invalid_dpop_proof' : 'invalid_token'
  const what = code === 'token_missing' ? [] : [`error="${error}"`, `error_description="${code}"`]
  const parameters = isDpop ? [...what, acceptedAlgorithms] : what
  return `${isDpop ? 'DPoP' : 'Bearer'} ${parameters.join(', ')}`.trimEnd()
}

/** What the challenge of another scheme could not ask for. */
const aboutKeys: ReadonlySet<ErrorCode> = new Set([
  'token_unbound',
  'dpop_proof_missing',
  'dpop_proof_invalid',
  'dpop_proof_replayed',
])

/** What a proof may be signed with (RFC 9449 §7.1). */
const acceptedAlgorithms = `algs="${algorithmNames.join(' ')}"`

function insufficientScope(requiredScope: string, scheme: TokenScheme): string {
  const scope = isScopeList(requiredScope) ? `, scope="${requiredScope}"` : ''
  return `${scheme} error="insufficient_scope"${scope}`
}
