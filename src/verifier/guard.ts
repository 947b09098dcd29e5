import { GatepassError } from '../core/errors.ts'
import { isPromise } from '../core/promise.ts'
import type { AccessTokenClaims } from '../tokens/access-token.ts'
import { isJsonObject } from '../tokens/strict-decoding.ts'
import { isScopeList, type Refusal, refusalOf } from './refusal.ts'
import type { DpopPresentation, TokenRequirements } from './requirements.ts'
import { type AdapterVerifier, type Verifier, verifyNow } from './verifier.ts'

/** What a route asks of a token beyond being valid. */
export interface RouteAuth {
  /** The scopes it must have, all of them, separated by spaces (RFC 6749 §3.3). */
  readonly scope?: string
  /** `aud` must hold one of these too, besides one of those in the options of the verifier. */
  readonly audience?: string | readonly string[]
  /**
   * Answers 503 rather than trust a list of revocations that is older than this; true stands for
   * 30 s. By default a token is accepted however old the list is.
   */
  readonly failClosed?: boolean | { readonly maxStaleness_s: number }
  /** Whether it must be bound to a key (RFC 9449). By default a bearer token will do. */
  readonly dpop?: boolean | 'required'
}

/** The guard of a route, whatever the framework. */
export interface Guard {
  /**
   * The claims of the token that a request presents; at once if nothing has to be waited for.
   *
   * @param request asked for a DPoP token alone
   */
  check(
    headers: PresentationHeaders,
    request: () => PresentingRequest,
  ): AccessTokenClaims | Promise<AccessTokenClaims>
  /** The answer to a request that is refused. */
  refusal(thrown: unknown, headers: PresentationHeaders): Refusal
}

/** @throws `config_invalid`: a misspelt requirement must not count as none */
export function createGuard(verifier: Verifier, auth: RouteAuth = {}): Guard {
  const { dpop: boundTo, ...requirements }: RouteAuth = readRequirements(auth)
  const needsKey = Boolean(boundTo)
  const verify = (verifier as AdapterVerifier)[verifyNow] ?? verifier.verify

  function admit(claims: AccessTokenClaims): AccessTokenClaims {
    if (needsKey && claims.cnf === undefined) throw new GatepassError('token_unbound')
    return claims
  }

  return {
    check(headers, request) {
      const { token, dpop } = presentedToken(headers, request)
      const claims = verify(token, dpop === undefined ? requirements : { ...requirements, dpop })
      return isPromise(claims) ? claims.then(admit) : admit(claims)
    },
    refusal(thrown, { authorization }) {
      const scheme = authorizationScheme(authorization) ?? (needsKey ? 'DPoP' : 'Bearer')
      return refusalOf(thrown, requirements.scope, scheme)
    },
  }
}

/** @throws `config_invalid` if it is given and no function */
export function checkOnRefused(onRefused: unknown): void {
  if (onRefused === undefined || typeof onRefused === 'function') return
  throw new GatepassError('config_invalid', { detail: 'onRefused must be a function.' })
}

type Requirement = keyof RouteAuth

const isAcceptable: { readonly [name in Requirement]: (value: unknown) => boolean } = {
  scope: (value) => typeof value === 'string' && isScopeList(value),
  audience: (value) => {
    const names = [value].flat()
    return names.length > 0 && names.every((name) => typeof name === 'string' && name !== '')
  },
  failClosed: (value) => typeof value === 'boolean' || isStaleness(value),
  dpop: (value) => typeof value === 'boolean' || value === 'required',
}

function isStaleness(value: unknown): boolean {
  if (!isJsonObject(value) || Object.keys(value).join() !== 'maxStaleness_s') return false
  return Number.isFinite(value.maxStaleness_s) && Number(value.maxStaleness_s) >= 0
}

function readRequirements(auth: unknown): RouteAuth & Pick<TokenRequirements, 'scope'> {
  if (isJsonObject(auth)) {
    const given = Object.entries(auth).filter(([, value]) => value !== undefined)
    const isRight = ([name, value]: readonly [string, unknown]) =>
      Object.hasOwn(isAcceptable, name) && isAcceptable[name as Requirement](value)
    if (given.every(isRight)) return Object.fromEntries(given)
  }
  throw new GatepassError('config_invalid', {
    detail:
      'The auth of a route must be false, or { scope, audience, failClosed, dpop }, ' +
      'with scopes separated by spaces.',
  })
}

/** How a token is presented: RFC 6750 §2.1, or RFC 9449 §7.1. */
export type TokenScheme = 'Bearer' | 'DPoP'

/** What `verify` is to be given of a request. */
export interface PresentedToken {
  readonly token: string
  /** By the scheme `DPoP`; undefined by the scheme `Bearer`. */
  readonly dpop: DpopPresentation | undefined
}

/** A request as its proof must name it, and the object that stands for it. */
export type PresentingRequest = Omit<DpopPresentation, 'proof'>

/** The headers of a request that present a token, as they came. */
export interface PresentationHeaders {
  readonly authorization?: string | undefined
  readonly dpop?: string | string[] | undefined
}

/**
 * The token of a request, and the proof that goes with it.
 *
 * @param request asked for a DPoP token alone
 * @throws `token_missing` if there is no `Authorization` or it is of another scheme;
 *   `token_malformed` if anything but one credential follows the scheme
 */
export function presentedToken(
  { authorization, dpop }: PresentationHeaders,
  request: () => PresentingRequest,
): PresentedToken {
  const scheme = authorizationScheme(authorization)
  if (authorization === undefined || scheme === null) throw new GatepassError('token_missing')
  const token = authorization.slice(scheme.length + 1)
  if (token === '' || token.includes(' ')) throw new GatepassError('token_malformed')
  if (scheme === 'Bearer') return { token, dpop: undefined }
  // Node joins a header that came twice by a comma, which no proof has in it.
  return { token, dpop: { proof: dpop === undefined ? undefined : String(dpop), ...request() } }
}

/** The scheme of an `Authorization` header, whatever its case; null if it is none of ours. */
export function authorizationScheme(authorization: string | undefined): TokenScheme | null {
  if (authorization === undefined) return null
  if (authorization.startsWith('Bearer ')) return 'Bearer'
  const end = authorization.indexOf(' ')
  const given = (end === -1 ? authorization : authorization.slice(0, end)).toLowerCase()
  return given === 'bearer' ? 'Bearer' : given === 'dpop' ? 'DPoP' : null
}
