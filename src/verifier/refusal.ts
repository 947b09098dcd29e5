import { type ErrorCode, GatepassError, isGatepassError, toProblem } from '../core/errors.ts'
import { algorithmNames } from '../tokens/algorithms.ts'
import type { TokenScheme } from './guard.ts'

/** The response to a request that is refused for its token. */
export interface Refusal {
  readonly error: GatepassError
  /** The challenge of a 401 or 403, or the `Retry-After` of a 503; and `Cache-Control`. */
  readonly headers: Readonly<Record<string, string>>
  /** Problem details (RFC 9457), without the cause of the error. */
  readonly body: string
}

/**
 * Creates the response to a refused request.
 *
 * @param thrown a GatepassError; any other error becomes `internal_error`
 * @param requiredScope as for `challengeHeaders`, like the other parameters
 */
export function refusalOf(
  thrown: unknown,
  requiredScope?: string,
  scheme?: TokenScheme,
  metadataUrl?: string,
): Refusal {
  const error = isGatepassError(thrown)
    ? thrown
    : new GatepassError('internal_error', { cause: thrown })
  const headers = challengeHeaders(error, requiredScope, scheme, metadataUrl)
  const namesClaims = error.code === 'token_claims' && !isProduction()
  return {
    error,
    headers: { ...headers, 'cache-control': 'no-store' },
    body: JSON.stringify(toProblem(error, { namesClaims })),
  }
}

/**
 * Reads the variable that Express and most build tools read. Returns true if Deno forbids reading
 * it.
 */
function isProduction(): boolean {
  try {
    return process.env.NODE_ENV === 'production'
  } catch {
    return true
  }
}

/** Tells whether a text is a list of scopes (RFC 6749 §3.3), one at least, separated by spaces. */
export function isScopeList(text: string): boolean {
  return /^ *[\x21\x23-\x5b\x5d-\x7e][\x21\x23-\x5b\x5d-\x7e ]*$/.test(text)
}

/**
 * Returns the headers of a response that refuses a token: the challenge of RFC 6750 §3 or RFC 9449
 * §7.1, or `Retry-After` for a 503.
 *
 * @param requiredScope the scopes that the token lacks, for `scope_insufficient`
 * @param scheme the scheme of the request, or the required one; some errors imply `DPoP`
 * @param metadataUrl the address of the metadata of the protected resource (RFC 9728 §5.1)
 */
export function challengeHeaders(
  error: GatepassError,
  requiredScope = '',
  scheme: TokenScheme = 'Bearer',
  metadataUrl?: string,
): Readonly<Record<string, string>> {
  const resource = metadataUrl === undefined ? [] : [`resource_metadata="${metadataUrl}"`]
  if (error.status === 401) {
    const [name, details] = unauthorized(error, scheme)
    return { 'www-authenticate': challenge(name, [...details, ...resource]) }
  }
  if (error.status === 403) {
    const details = insufficientScope(requiredScope)
    return { 'www-authenticate': challenge(scheme, [...details, ...resource]) }
  }
  if (error.status === 503) return { 'retry-after': String(error.retryAfterSeconds ?? 1) }
  return {}
}

function challenge(scheme: TokenScheme, parameters: readonly string[]): string {
  return `${scheme} ${parameters.join(', ')}`.trimEnd()
}

/** The challenge for a request without a token has no error code (RFC 6750 §3.1). */
function unauthorized(
  { code }: GatepassError,
  scheme: TokenScheme,
): [scheme: TokenScheme, parameters: string[]] {
  const isDpopError = dpopErrors.has(code)
  const isDpop = scheme === 'DPoP' || isDpopError
  // A token that is bound to a key is not valid as a bearer token, whatever the proof.
  const isTokenError =
    code === 'token_unbound' || (code === 'dpop_proof_missing' && scheme === 'Bearer')
  const proofError = code === 'use_dpop_nonce' ? code : 'invalid_dpop_proof'
  const error = isDpopError && !isTokenError ? proofError : 'invalid_token'
  const details =
    code === 'token_missing' ? [] : [`error="${error}"`, `error_description="${code}"`]
  return isDpop ? ['DPoP', [...details, acceptedAlgorithms]] : ['Bearer', details]
}

/** Errors that need a challenge of the scheme `DPoP`. */
const dpopErrors: ReadonlySet<ErrorCode> = new Set([
  'token_unbound',
  'dpop_proof_missing',
  'dpop_proof_invalid',
  'dpop_proof_replayed',
  'use_dpop_nonce',
])

/** The accepted algorithms of a proof (RFC 9449 §7.1). */
const acceptedAlgorithms = `algs="${algorithmNames.join(' ')}"`

function insufficientScope(requiredScope: string): string[] {
  const scope = isScopeList(requiredScope) ? [`scope="${requiredScope}"`] : []
  return ['error="insufficient_scope"', ...scope]
}
