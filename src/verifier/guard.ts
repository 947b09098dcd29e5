import { GatepassError } from '../core/errors.ts'
import type { AccessTokenClaims } from '../tokens/claims.ts'
import { isJsonObject } from '../tokens/json.ts'
import {
  authorizationScheme,
  type PresentationHeaders,
  type PresentingRequest,
  presentedToken,
} from './authorization.ts'
import { isScopeList } from './challenge.ts'
import { type Refusal, refusalOf } from './refusal.ts'
import type { TokenRequirements } from './requirements.ts'
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
      return claims instanceof Promise ? claims.then(admit) : admit(claims)
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
