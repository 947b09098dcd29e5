import { type Clock, nowSeconds } from '../core/clock.ts'
import { GatepassError, isGatepassError } from '../core/errors.ts'
import type { JsonValue } from '../core/json.ts'
import type { Audit } from '../issuer/audit.ts'
import { type Client, isConfidential } from '../issuer/clients.ts'
import type { RevocationFeed } from '../issuer/revocation-feed.ts'
import type { Sessions } from '../issuer/sessions.ts'
import { acrOf } from '../issuer/token-minter.ts'
import { isActive } from '../issuer/users.ts'
import type { AccountStore, Session } from '../stores/ports.ts'
import { type AccessTokenClaims, defaultMaxTokenBytes } from '../tokens/access-token.ts'
import type { RefreshTokenCodec } from '../tokens/refresh-token.ts'
import type { RevocationEvent } from '../tokens/revocation-tokens.ts'
import { isEncrypted } from '../verifier/decryption.ts'
import { unpresented } from '../verifier/requirements.ts'
import { RevocationList } from '../verifier/revocations/revocation-list.ts'
import type { Verifier } from '../verifier/verifier.ts'
import { authenticationFailed } from './oauth-error.ts'

/** RFC 7662 §2.2. An inactive token has no other member. */
export type Introspection =
  | { readonly active: false }
  | { readonly [name: string]: JsonValue | undefined; readonly active: true }

const inactive: Introspection = { active: false }

export interface IssuedTokensOptions {
  readonly issuer: string
  /** Accepts the issuer's own tokens, whatever their audience. */
  readonly verifier: Verifier
  readonly refreshTokens: RefreshTokenCodec
  readonly accounts: Pick<AccountStore, 'findBySub'>
  readonly sessions: Pick<Sessions, 'find' | 'logout'>
  readonly revocations: Pick<RevocationFeed, 'entriesAfter' | 'subscribe' | 'keptMs'>
  readonly clock: Clock
}

/**
 * Tokens of this issuer that a client sends without being their holder: introspection (RFC 7662) and
 * revocation (RFC 7009) of access and refresh tokens, and the subjects of token exchanges.
 */
export class IssuedTokens {
  readonly #options: IssuedTokensOptions
  /** Without a limit, as the feed: a list that is full refuses valid tokens, and their sessions would not end. */
  readonly #revoked = new RevocationList(Number.POSITIVE_INFINITY)

  constructor(options: IssuedTokensOptions) {
    this.#options = options
    const { revocations } = options
    this.#note(revocations.entriesAfter())
    revocations.subscribe((entries) => this.#note(entries))
  }

  /**
   * Returns whether a token is active, and its claims. Revocations, and deleted or disabled accounts,
   * count immediately. A refresh token is active for its own client only.
   *
   * @param client has authenticated
   * @throws `client_authentication_failed` for a public client: anybody could be one;
   *   `store_unavailable`, `keys_unavailable`
   */
  async introspect(client: Client, token: string): Promise<Introspection> {
    if (!isConfidential(client)) throw authenticationFailed('it is a public client')
    const found = await this.#findSession(token)
    if (found !== null) {
      const { session, isCurrent } = found
      // A resource server would take the refresh token of another client for an access token.
      if (!isCurrent || session.clientId !== client.client_id) return inactive
      if (!(await this.#hasActiveAccount(session.sub))) return inactive
      return introspectionOf(session, this.#options.issuer)
    }
    const claims = await this.findActive(token)
    if (claims === null) return inactive
    // The token of a service, without a session, has no account.
    if (claims.sid !== undefined && !(await this.#hasActiveAccount(claims.sub))) return inactive
    return { ...claims, token_type: claims.cnf === undefined ? 'Bearer' : 'DPoP', active: true }
  }

  /**
   * Ends the session of a token. A token that is not active needs no revocation (RFC 7009 §2.2).
   *
   * @param client has authenticated, or is public
   * @throws `grant_invalid` for the token of another client; `token_not_revocable` for a token that
   *   belongs to no session of its client, or that the issuer cannot decrypt; `clock_skew`,
   *   `store_unavailable`
   */
  async revoke(client: Client, token: string, audit: Audit): Promise<void> {
    const { sessions } = this.#options
    const found = await this.#findSession(token)
    if (found !== null) {
      requireOwn(found.session.clientId, client)
      return sessions.logout(found.session.sid, audit)
    }
    const claims = await this.findActive(token)
    if (claims === null) {
      if (await this.#isUnreadable(token)) throw new GatepassError('token_not_revocable')
      return
    }
    requireOwn(claims.client_id, client)
    // A service may not end the session of a user whose token it has exchanged.
    if (claims.sid === undefined || claims.act !== undefined) {
      throw new GatepassError('token_not_revocable')
    }
    return sessions.logout(claims.sid, audit)
  }

  /**
   * Returns the claims of an access token, or null if no resource server should accept it: it is of
   * another issuer, has expired or was revoked, or its session ended. A token that is bound to a key
   * needs no proof here, because its holder does not send the request.
   *
   * @throws `keys_unavailable`, `store_unavailable`
   */
  async findActive(token: string): Promise<AccessTokenClaims | null> {
    const { verifier, sessions, clock } = this.#options
    try {
      const claims = await verifier.verify(token, { dpop: unpresented })
      const { sid, exp } = claims
      // The clock tolerance of the verifier does not prolong a token: a token in exchange for it
      // would have expired before it was signed.
      if (nowSeconds(clock) >= exp) return null
      // A revoked key is not among the published keys, so its kid needs no check.
      if (this.#revoked.isRevoked(claims, '')) return null
      return sid === undefined || (await sessions.find(sid)) !== null ? claims : null
    } catch (error) {
      if (isGatepassError(error) && error.status < 500) return null
      throw error
    }
  }

  async #hasActiveAccount(sub: string): Promise<boolean> {
    return isActive(await this.#options.accounts.findBySub(sub))
  }

  /**
   * Returns the live session of a refresh token, and whether the token is the current one. Null for
   * any other token.
   */
  async #findSession(token: string): Promise<{ session: Session; isCurrent: boolean } | null> {
    const { refreshTokens, sessions } = this.#options
    try {
      const { sid, generation } = refreshTokens.parse(token)
      const session = await sessions.find(sid)
      return session && { session, isCurrent: generation >= session.generation }
    } catch (error) {
      if (isGatepassError(error, 'refresh_token_malformed')) return null
      throw error
    }
  }

  /** Returns whether a token is encrypted for a key that the issuer does not have. */
  async #isUnreadable(token: string): Promise<boolean> {
    if (!isEncrypted(token, defaultMaxTokenBytes)) return false
    try {
      await this.#options.verifier.verify(token, { dpop: unpresented })
      return false
    } catch (error) {
      return isGatepassError(error, 'token_malformed', 'token_key_unknown')
    }
  }

  #note(entries: readonly RevocationEvent[]): void {
    const { revocations, clock } = this.#options
    this.#revoked.prune(nowSeconds(clock), Math.ceil(revocations.keptMs / 1000))
    for (const { kind, id, atMs } of entries) {
      if (kind !== 'key') this.#revoked.add({ kind, id, at_s: Math.floor(atMs / 1000) })
    }
  }
}

/** @throws `grant_invalid` for the token of another client */
function requireOwn(clientId: string | undefined, client: Client): void {
  if (clientId === client.client_id) return
  throw new GatepassError('grant_invalid', { detail: 'The token belongs to another client.' })
}

function introspectionOf(session: Session, issuer: string): Introspection {
  return {
    iss: issuer,
    sub: session.sub,
    client_id: session.clientId,
    scope: session.scope,
    sid: session.sid,
    auth_time: Math.floor(session.createdAtMs / 1000),
    acr: acrOf(session.amr),
    amr: [...session.amr],
    iat: Math.floor(session.mintedAtMs / 1000),
    exp: Math.floor(session.expiresAtMs / 1000),
    ...(session.jkt !== null && { cnf: { jkt: session.jkt } }),
    active: true,
  }
}
