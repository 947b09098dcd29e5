import { type Clock, nowSeconds } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import type { JsonValue } from '../core/json.ts'
import type { Audit } from '../issuer/audit.ts'
import { type Client, refuseBlankScope, requireKey, scopeNames } from '../issuer/clients.ts'
import type { AccessTokenSet, Actor, TokenMinter } from '../issuer/token-minter.ts'
import { isActive } from '../issuer/users.ts'
import type { AccountStore } from '../stores/ports.ts'
import { type AccessTokenClaims, hasScopes } from '../tokens/access-token.ts'
import type { IssuedTokens } from './issued-tokens.ts'

export const accessTokenUrn = 'urn:ietf:params:oauth:token-type:access_token'

/**
 * Maximum number of services that a token can pass through. Each service makes the token longer.
 */
const maxActors = 8

export interface ExchangeRequest {
  readonly subjectToken: string
  /** The audience of the new token: one of the client's `exchange_audiences`. */
  readonly audience: string
  /** Default: the scope of the subject token. */
  readonly scope: string | undefined
  /** The key of which the client has proven possession (RFC 9449). */
  readonly jkt: string | undefined
}

export interface TokenExchangeOptions {
  readonly tokens: IssuedTokens
  readonly accounts: Pick<AccountStore, 'findBySub'>
  readonly minter: TokenMinter
  readonly clock: Clock
}

/** The claims of a subject token that an exchange uses. */
export interface Subject {
  readonly scope?: string
  readonly exp: number
  readonly [name: string]: JsonValue | undefined
}

/** The limits of an exchanged token. */
export interface ExchangedClaims {
  readonly scope: string
  readonly act: Actor
  readonly maxExpiresAtSeconds: number
}

/**
 * Exchanges a user's access token for a token with another audience (RFC 8693). The new token keeps
 * the user and the session, so a sign-out ends the whole chain. Its scope is never wider than that
 * of the subject token, and it never lives longer.
 */
export class TokenExchange {
  readonly #options: TokenExchangeOptions

  constructor(options: TokenExchangeOptions) {
    this.#options = options
  }

  /**
   * @param client has authenticated, and may use this grant
   * @throws `resource_not_allowed`, `subject_token_invalid`, `scope_not_allowed`,
   *   `dpop_proof_missing`, `store_unavailable`, `keys_unavailable`, `token_too_large`
   */
  async exchange(client: Client, request: ExchangeRequest, audit: Audit): Promise<AccessTokenSet> {
    const { tokens, accounts, minter, clock } = this.#options
    const { audience, jkt } = request
    if (!client.exchange_audiences?.includes(audience)) {
      throw new GatepassError('resource_not_allowed')
    }
    requireKey(client, jkt)
    const startedAtSeconds = nowSeconds(clock)
    const subject = await tokens.findActive(request.subjectToken)
    if (subject === null)
      throw invalidSubject('it is no token of this issuer, has ended, or does not decrypt')
    const { sid } = subject
    // A token without a session belongs to a service, which gets tokens of its own.
    if (sid === undefined) throw invalidSubject('it belongs to no user')
    // A bound token must not become a bearer token.
    if (subject.cnf !== undefined && jkt === undefined) {
      throw new GatepassError('dpop_proof_missing')
    }
    const { scope, act, maxExpiresAtSeconds } = narrow(subject, client.client_id, request.scope)
    const account = await accounts.findBySub(subject.sub)
    if (!isActive(account)) throw invalidSubject('its account is deleted or disabled')
    const issued = await minter.mintAccessToken({
      sub: subject.sub,
      clientId: client.client_id,
      scope,
      audience,
      jkt: jkt ?? null,
      account,
      session: { ...sessionClaimsOf(subject), sid, act },
      // A later `iat` would survive a sign-out of all sessions after the check of the session.
      issuedAtSeconds: Math.max(startedAtSeconds, subject.iat),
      maxExpiresAtSeconds,
    })
    audit('token.exchanged', { sub: subject.sub, sid, client_id: client.client_id })
    return issued
  }
}

/**
 * Returns the limits of an exchanged token.
 *
 * @throws `scope_not_allowed` for a scope that the subject token lacks; `subject_token_invalid` if
 *   the token has passed through too many services
 */
export function narrow(
  subject: Subject,
  clientId: string,
  requestedScope: string | undefined,
): ExchangedClaims {
  refuseBlankScope(requestedScope)
  const wanted = requestedScope ?? subject.scope ?? ''
  if (!hasScopes(subject.scope, wanted)) {
    throw new GatepassError('scope_not_allowed', {
      detail: 'The subject token lacks a scope that the exchange asks for.',
    })
  }
  const before = subject.act as Actor | undefined
  if (actorsOf(before).length >= maxActors) throw invalidSubject('too many services passed it on')
  const act = before === undefined ? { sub: clientId } : { sub: clientId, act: before }
  return { scope: scopeNames(wanted).join(' '), act, maxExpiresAtSeconds: subject.exp }
}

/** @param reason for the log. The client receives the error code only. */
function invalidSubject(reason: string): GatepassError {
  return new GatepassError('subject_token_invalid', {
    cause: new Error(`subject token: ${reason}`),
  })
}

/** How and when the user signed in. */
function sessionClaimsOf({ auth_time, acr, amr }: AccessTokenClaims) {
  return { ...(auth_time !== undefined && { auth_time }), ...(acr && { acr }), ...(amr && { amr }) }
}

/** The chain of actors, the last one first. */
export function actorsOf(act: Actor | undefined): string[] {
  return act === undefined ? [] : [act.sub, ...actorsOf(act.act)]
}
