import type { Clock } from '../core/clock.ts'
import { type ErrorCode, GatepassError } from '../core/errors.ts'
import { digest } from '../core/secrets.ts'
import type { Account, AccountStore, RotationResult, Session } from '../stores/ports.ts'
import { hasScopes } from '../tokens/access-token.ts'
import type { RefreshTokenCodec } from '../tokens/refresh-token.ts'
import type { Audit } from './audit.ts'
import {
  type Client,
  type Clients,
  isConfidential,
  lacksKey,
  remainingScope,
  requireGrant,
  scopeNames,
} from './clients.ts'
import type { Sessions } from './sessions.ts'
import type { MintedToken, TokenMinter, TokenSet } from './token-minter.ts'
import { isActive } from './users.ts'

export interface RefreshOptions {
  readonly accounts: Pick<AccountStore, 'findBySub'>
  readonly sessions: Sessions
  readonly clients: Clients
  readonly refreshTokens: RefreshTokenCodec
  readonly minter: TokenMinter
  /** How long a replaced refresh token still works, in milliseconds. */
  readonly graceMs: number
  readonly clock: Clock
}

export interface RefreshRequest {
  readonly refreshToken: string
  /** One key per refresh attempt, repeated in each retry. Any text. */
  readonly idempotencyKey?: string | undefined
  /** Thumbprint of the key that the client has proven possession of (RFC 9449). */
  readonly jkt?: string | undefined
  /** The client that has authenticated. Undefined at `/refresh`, which is for public clients. */
  readonly clientId?: string | undefined
  /** The audience of the access token (RFC 8707), one of the client's audiences. */
  readonly resource?: string | undefined
  /**
   * Scopes of the session that the access token has (RFC 6749 §6). Default: all that the client may
   * still request.
   */
  readonly scope?: string | undefined
}

export interface RefreshedTokens extends TokenSet {
  /** Whether a response by cookie sets the refresh token. */
  readonly setsCookie: boolean
}

/** Replaces a refresh token and mints the next access token (invariants 3 and 4). */
export class Refresh {
  readonly #options: RefreshOptions

  constructor(options: RefreshOptions) {
    this.#options = options
  }

  /**
   * Rotates a refresh token. The account is read and the access token is minted first: if that fails,
   * the session does not change. A session that is bound to a key needs its proof. Another session stays
   * unbound, or a thief of the refresh token could lock out its owner; only its access token is
   * bound to a proven key.
   *
   * @throws `refresh_token_malformed` without a call to a store, `refresh_token_reused`,
   *   `refresh_token_revoked` (also if the account is deleted or disabled),
   *   `refresh_token_expired`, `refresh_token_unknown`, `dpop_proof_missing`, `dpop_proof_invalid`,
   *   `store_unavailable`, `clock_skew`. Without a rotation: `client_authentication_failed`,
   *   `grant_invalid` for the token of another client, `client_unknown` if the client was removed from
   *   the settings, `grant_not_allowed`, `resource_not_allowed`, `scope_not_allowed`.
   */
  async rotate(request: RefreshRequest, audit: Audit): Promise<RefreshedTokens> {
    const { sessions, refreshTokens, minter, clock, graceMs } = this.#options
    const { refreshToken, idempotencyKey, jkt } = request
    const { sid, generation } = refreshTokens.parse(refreshToken)
    const live = await sessions.find(sid)
    const minted = live && (await this.#mint(live, request, audit))
    const result = await sessions.rotate({
      sid,
      generation,
      idempotencyKey: idempotencyKey === undefined ? null : digest(idempotencyKey),
      jkt: jkt ?? null,
      found: live,
    })
    // A client drops an expired session, which may have expired by a wrong clock only.
    if (result.outcome === 'expired') await sessions.checkClock()
    const session = acceptedSession(result, { sid, jkt }, audit)
    // A store fail-over lost the revocation of the session in between.
    if (minted === null) throw new GatepassError('refresh_token_revoked')
    const tokens = minter.withRefreshToken(session, minted)
    const times = { nowMs: clock.nowMs(), graceMs }
    return { ...tokens, setsCookie: setsCookie(generation, session, times) }
  }

  /** Checks the client and the account of a session, and mints the access token. */
  async #mint(session: Session, request: RefreshRequest, audit: Audit): Promise<MintedToken> {
    const { audience, scope } = this.#checkClient(session, request, audit)
    const account = await this.#accountOf(session, audit)
    const content = { account, audience, scope, jkt: request.jkt }
    return this.#options.minter.mintForSession(session, content)
  }

  /**
   * Checks that the client of a session may make the request. Returns the `aud` and the `scope` of
   * the access token.
   */
  #checkClient(session: Session, request: RefreshRequest, audit: Audit) {
    const { clients, minter } = this.#options
    const client = clients.find(session.clientId)
    const { sid, sub, clientId } = session
    const { clientId: sender } = request
    const refused = (reason: string, code: ErrorCode) => {
      audit('refresh.refused', { sid, sub, client_id: clientId, reason })
      return new GatepassError(code)
    }
    if (sender !== undefined && sender !== clientId) throw refused('wrong_client', 'grant_invalid')
    if (client === undefined) throw refused('client_unknown', 'client_unknown')
    if (sender === undefined && isConfidential(client)) {
      throw refused('wrong_client', 'client_authentication_failed')
    }
    requireGrant(client, 'refresh_token')
    if (lacksKey(client, request.jkt)) throw refused('unproven', 'dpop_proof_missing')
    const scope = narrowScope(client, session.scope, request.scope)
    return { audience: minter.audienceOf(client, request.resource), scope }
  }

  /**
   * Returns the account of a session. If the account is deleted or disabled, revokes all sessions
   * of the user.
   */
  async #accountOf(session: Session, audit: Audit): Promise<Account> {
    const { accounts, sessions } = this.#options
    const { sid, sub, clientId } = session
    const account = await accounts.findBySub(sub)
    if (isActive(account)) return account
    const reason = account === null ? 'account_not_found' : 'account_disabled'
    await sessions.revokeAllOfAccount(session, reason, audit)
    audit('refresh.refused', { sid, sub, client_id: clientId, reason })
    throw new GatepassError('refresh_token_revoked')
  }
}

/**
 * Returns the requested scopes of a session, without those that were removed from its client: many
 * clients repeat the scope of the sign-in in each refresh.
 *
 * @throws `scope_not_allowed` for a scope that the session lacks, and if no requested scope is left
 */
function narrowScope(client: Client, held: string, requested: string | undefined): string {
  if (requested === undefined) return remainingScope(client, held)
  if (hasScopes(held, requested)) {
    const scope = remainingScope(client, scopeNames(requested).join(' '))
    if (scope !== '') return scope
  }
  const detail = 'The session lacks a scope that the refresh asks for.'
  throw new GatepassError('scope_not_allowed', { detail })
}

/**
 * Decides whether a response sets the cookie. A client that presents the current token has it in its
 * cookie, and late in the grace period a slow response could overwrite the successor with it. Early in
 * the grace period there is no successor yet.
 *
 * @param presented generation of the presented token
 * @param session the session after the rotation
 */
export function setsCookie(
  presented: number,
  session: Session,
  { nowMs, graceMs }: { readonly nowMs: number; readonly graceMs: number },
): boolean {
  return session.generation !== presented || nowMs - session.mintedAtMs <= graceMs / 2
}

const refusals = {
  reused: 'refresh_token_reused',
  revoked: 'refresh_token_revoked',
  expired: 'refresh_token_expired',
  unknown: 'refresh_token_unknown',
  unproven: 'dpop_proof_invalid',
} as const satisfies Record<string, ErrorCode>

/** Audits the outcome and returns the session. Throws if the store refused the token. */
function acceptedSession(
  { outcome, session }: RotationResult,
  { sid, jkt }: { readonly sid: string; readonly jkt: string | undefined },
  audit: Audit,
): Session {
  const ids = session === null ? { sid } : { sid, sub: session.sub, client_id: session.clientId }
  if (session !== null && (outcome === 'rotated' || outcome === 'replayed')) {
    audit(`refresh.${outcome}`, ids)
    return session
  }
  if (outcome === 'reused') audit('refresh.reused', ids)
  else audit('refresh.refused', { ...ids, reason: outcome })
  if (outcome === 'unproven' && jkt === undefined) throw new GatepassError('dpop_proof_missing')
  throw new GatepassError(refusals[outcome as keyof typeof refusals])
}
