import { asGatepassError, type ErrorCode, GatepassError, toProblem } from '../core/errors.ts'
import type { AccessTokenClaims } from '../tokens/access-token.ts'
import { isJsonObject } from '../tokens/strict-decoding.ts'
import { usableAlgorithms } from '../tokens/verification-key.ts'
import {
  checkRequirement,
  type DpopPresentation,
  type RequirementCheck,
  requirementChecks,
  type TokenRequirements,
} from './requirements.ts'
import { type Verifier, verifyNowOf } from './verifier.ts'

/** Requirements of a route, beyond a valid token. */
export interface RouteAuth extends Omit<TokenRequirements, 'dpop'> {
  /** Whether the token must be bound to a key (RFC 9449). Default false. */
  readonly dpop?: boolean
}

/** Checks the requests of a route, for any framework. */
export interface Guard {
  /**
   * Verifies the token of a request and returns its claims; without a promise if nothing is pending.
   *
   * @param request called only for a DPoP token
   * @param scope required by this request. Default: the scope of the route.
   */
  check(
    headers: TokenHeaders,
    request: () => ProofTarget,
    scope?: string,
  ): AccessTokenClaims | Promise<AccessTokenClaims>
  /**
   * Returns the response to a refused request.
   *
   * @param thrown a GatepassError; any other error becomes `internal_error`
   */
  refusal(thrown: unknown, headers: TokenHeaders, scope?: string): Refusal
}

/** Stands for the proof of a bearer token where a token must be bound to a key. */
const noProof: DpopPresentation = { proof: undefined, method: '', uri: '' }

/**
 * @param metadataUrl for the challenges, as for `challengeHeaders`
 * @throws `config_invalid`; a misspelled requirement must not be ignored
 */
export function createGuard(verifier: Verifier, auth: RouteAuth = {}, metadataUrl?: string): Guard {
  checkVerifier(verifier)
  const { dpop: needsKey = false, ...others } = readRouteAuth(auth)
  const requirements: TokenRequirements = needsKey ? { ...others, dpop: noProof } : others

  return {
    check(headers, request, scope) {
      const { token, dpop } = presentedToken(headers, request)
      const required = scope === undefined ? requirements : { ...requirements, scope }
      // Looked up for each request: a test of the application may replace the method.
      const verify = verifyNowOf(verifier)
      return verify(token, dpop === undefined ? required : { ...required, dpop })
    },
    refusal(thrown, { authorization }, scope = requirements.scope) {
      const error = asGatepassError(thrown)
      const scheme = authorizationScheme(authorization) ?? (needsKey ? 'DPoP' : 'Bearer')
      const headers = challengeHeaders(error, scope, scheme, metadataUrl)
      const namesClaims = error.code === 'token_claims' && !isProduction()
      return {
        error,
        headers: { ...headers, 'cache-control': 'no-store' },
        body: JSON.stringify(toProblem(error, { namesClaims })),
      }
    },
  }
}

/** @throws `config_invalid` for another value, such as the options of a verifier */
export function checkVerifier(verifier: Verifier): void {
  if (typeof (verifier as Partial<Verifier> | null | undefined)?.verify === 'function') return
  throw invalid('The verifier must be an object that createVerifier has returned.')
}

/** @throws `config_invalid` for null and any other value that is not an object */
export function checkGuardOptions<Options extends object>(options: Options): Options {
  if (isJsonObject(options)) return options
  throw invalid('The options of a guard must be an object.')
}

/** @throws `config_invalid` if an option is neither undefined nor a function */
export function checkFunction(name: string, option: unknown): void {
  if (option === undefined || typeof option === 'function') return
  throw invalid(`${name} must be a function.`)
}

/** Makes an error of what `onRefused` threw: a framework would call the route after `undefined`. */
export function failureOf(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : asGatepassError(thrown)
}

/** The requirements of a route. */
const checks: { readonly [name in keyof RouteAuth]-?: RequirementCheck } = {
  ...requirementChecks,
  scope: [isScopeList, 'a text of scopes, separated by spaces'],
  dpop: [(value) => typeof value === 'boolean', 'true or false'],
}

function readRouteAuth(auth: unknown): RouteAuth {
  if (!isJsonObject(auth)) throw invalid('The auth of a route must be false, or an object.')
  const given = Object.entries(auth).filter(([, value]) => value !== undefined)
  for (const [name, value] of given) {
    if (!Object.hasOwn(checks, name)) throw invalid(`There is no requirement ${name}.`)
    checkRequirement(name, value, checks[name as keyof RouteAuth])
  }
  return Object.fromEntries(given)
}

function invalid(detail: string): GatepassError {
  return new GatepassError('config_invalid', { detail })
}

/** Scheme of the `Authorization` header: RFC 6750 §2.1, RFC 9449 §7.1. */
export type TokenScheme = 'Bearer' | 'DPoP'

/** The token of a request, and its proof. */
export interface PresentedToken {
  readonly token: string
  /** Undefined for the scheme `Bearer`. */
  readonly dpop: DpopPresentation | undefined
}

/** Method and URI that a proof must name, and the object that stands for the request. */
export type ProofTarget = Omit<DpopPresentation, 'proof'>

/** The headers of a request that present a token. */
export interface TokenHeaders {
  readonly authorization?: string | undefined
  readonly dpop?: string | string[] | undefined
}

/**
 * Reads the token of a request, and its proof.
 *
 * @param request called only for a DPoP token
 * @throws `token_missing` if `Authorization` is missing or has another scheme; `token_malformed` if the
 *   scheme is not followed by exactly one token
 */
export function presentedToken(
  { authorization, dpop }: TokenHeaders,
  request: () => ProofTarget,
): PresentedToken {
  const scheme = authorizationScheme(authorization)
  if (authorization === undefined || scheme === null) throw new GatepassError('token_missing')
  const token = authorization.slice(scheme.length + 1)
  if (token === '' || token.includes(' ')) throw new GatepassError('token_malformed')
  if (scheme === 'Bearer') return { token, dpop: undefined }
  // Node joins a repeated header by a comma, which a proof cannot contain.
  return { token, dpop: { proof: dpop === undefined ? undefined : String(dpop), ...request() } }
}

/** Reads the scheme of an `Authorization` header, ignoring its case; null for any other scheme. */
export function authorizationScheme(authorization: string | undefined): TokenScheme | null {
  if (authorization === undefined) return null
  const end = authorization.indexOf(' ')
  const given = (end === -1 ? authorization : authorization.slice(0, end)).toLowerCase()
  if (given === 'bearer') return 'Bearer'
  return given === 'dpop' ? 'DPoP' : null
}

/** The response to a request that is refused for its token. */
export interface Refusal {
  readonly error: GatepassError
  /** The challenge of a 401 or 403, or the `Retry-After` of a 503; and `Cache-Control`. */
  readonly headers: Readonly<Record<string, string>>
  /** Problem details (RFC 9457), without the cause of the error. */
  readonly body: string
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

/** Tells whether a value is a list of scopes (RFC 6749 §3.3), one at least, separated by spaces. */
export function isScopeList(value: unknown): boolean {
  const list = /^ *[\x21\x23-\x5b\x5d-\x7e][\x21\x23-\x5b\x5d-\x7e ]*$/
  return typeof value === 'string' && list.test(value)
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
    const scope = isScopeList(requiredScope) ? [`scope="${requiredScope}"`] : []
    const details = ['error="insufficient_scope"', ...scope, ...resource]
    return { 'www-authenticate': challenge(scheme, details) }
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
const acceptedAlgorithms = `algs="${usableAlgorithms.join(' ')}"`
