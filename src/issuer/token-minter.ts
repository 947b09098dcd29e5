import { type Clock, nowSeconds } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import { randomId } from '../core/secrets.ts'
import type { Account, Session } from '../stores/ports.ts'
import type { TokenType } from '../tokens/access-token.ts'
import type { EncryptionKey } from '../tokens/encryption-key.ts'
import type { RefreshTokenCodec } from '../tokens/refresh-token.ts'
import { type SigningKey, signAccessToken } from '../tokens/signing.ts'
import { attributeClaims, type Client, type Clients } from './clients.ts'
import type { RevocationFeed } from './revocation-feed.ts'

/** An access token, with the properties that its client needs. */
export interface AccessTokenSet {
  readonly accessToken: string
  /** How to present the access token: RFC 6750, or with a proof of its key (RFC 9449 §7.1). */
  readonly tokenType: 'Bearer' | 'DPoP'
  readonly expiresInSeconds: number
  readonly scope: string
}

/** The tokens that a client receives from a login or a refresh. */
export interface TokenSet extends AccessTokenSet {
  readonly sessionId: string
  readonly refreshToken: string
  readonly refreshExpiresInSeconds: number
}

/** An access token whose session may still have to be rotated or stored. */
export interface MintedToken extends Omit<AccessTokenSet, 'expiresInSeconds'> {
  readonly iat: number
  readonly exp: number
}

/** The content of an access token. */
export interface AccessTokenRequest {
  readonly sub: string
  readonly clientId: string
  readonly scope: string
  readonly audience: string | readonly string[]
  /** Thumbprint of the key that the token is bound to; null for a bearer token. */
  readonly jkt: string | null
  /** The user, whose attributes the scope turns into claims; null for a service. */
  readonly account: Account | null
  /** The claims of its session, if it has one. */
  readonly session?: SessionClaims
  /** Its `iat`. Default: now, or the second after a sign-out of all sessions of the user. */
  readonly issuedAtSeconds?: number
  /** The latest `exp`. */
  readonly maxExpiresAtSeconds?: number
}

/** The content of an access token that the session does not determine. */
export interface SessionTokenContent {
  /** Of the user; the scopes select the attributes that become claims. */
  readonly account: Account
  /** As `audienceOf` returns it. */
  readonly audience: string | readonly string[]
  /** Default: all scopes of the session. */
  readonly scope?: string
  /** Thumbprint of the key that the request has proven. Default: the key of the session. */
  readonly jkt?: string | undefined
}

export interface SessionClaims {
  readonly sid: string
  readonly auth_time?: number
  readonly acr?: string
  readonly amr?: readonly string[]
  /** The services that act for the user (RFC 8693 §4.1). */
  readonly act?: Actor
}

/** The latest actor is outermost; earlier actors are nested in it. */
export type Actor = { readonly sub: string; readonly act?: Actor }

/** The audiences whose tokens are encrypted, each with its key. */
export type AudienceKeys = ReadonlyMap<string, EncryptionKey>

/** The properties of every access token. */
export interface TokenPolicy {
  /** The `iss` of every token: the public URL of the issuer. */
  readonly issuer: string
  /** The `aud` of clients without an audience of their own. */
  readonly audience: string
  /** Lifetime of an access token. */
  readonly accessTtlSeconds: number
  /** Largest difference between the clocks of two machines. */
  readonly clockSkewSeconds: number
  /** The `typ` of access tokens (RFC 9068 §2.1). */
  readonly tokenType: TokenType
  readonly encryptionKeys: AudienceKeys
}

export interface TokenMinterOptions {
  readonly policy: TokenPolicy
  readonly clients: Clients
  readonly refreshTokens: RefreshTokenCodec
  readonly clock: Clock
  /** Returns the key that signs at this time. */
  readonly signingKey: () => SigningKey
  readonly revocations: Pick<RevocationFeed, 'revokedUntilSeconds'>
}

/** Mints access tokens, and the refresh tokens of sessions. */
export class TokenMinter {
  readonly #options: TokenMinterOptions

  constructor(options: TokenMinterOptions) {
    this.#options = options
  }

  /**
   * Returns the `aud` of a client's next token: the requested audience (RFC 8707), or all audiences
   * of the client.
   *
   * @throws `resource_not_allowed`
   */
  audienceOf(client: Client, resource: string | undefined): string | string[] {
    const audience = client.audience ?? this.#options.policy.audience
    if (resource === undefined) return audience
    if (![audience].flat().includes(resource)) throw new GatepassError('resource_not_allowed')
    return resource
  }

  /**
   * Mints an access token of a session. Call it before the session is stored or rotated, so that a sign-out
   * of all sessions in between ends the token.
   *
   * @throws `token_too_large`, `keys_unavailable`
   */
  mintForSession(session: Session, content: SessionTokenContent): Promise<MintedToken> {
    const { sid, sub, clientId, amr } = session
    const { account, audience, scope = session.scope, jkt = session.jkt } = content
    const auth_time = Math.floor(session.createdAtMs / 1000)
    return this.#mint({
      sub,
      clientId,
      scope,
      audience,
      jkt,
      account,
      session: { sid, auth_time, acr: acrOf(amr), amr },
    })
  }

  /** Adds the refresh token of a session to its access token. */
  withRefreshToken(session: Session, minted: MintedToken): TokenSet {
    const { refreshTokens, clock } = this.#options
    const refreshTtlMs = session.expiresAtMs - clock.nowMs()
    return {
      ...this.#withLifetime(minted),
      sessionId: session.sid,
      refreshToken: refreshTokens.mint(session),
      refreshExpiresInSeconds: Math.max(1, Math.floor(refreshTtlMs / 1000)),
    }
  }

  /** @throws `token_too_large`, `keys_unavailable` */
  async mintAccessToken(request: AccessTokenRequest): Promise<AccessTokenSet> {
    return this.#withLifetime(await this.#mint(request))
  }

  #withLifetime({ iat, exp, ...minted }: MintedToken): AccessTokenSet {
    const expiresInSeconds = exp - Math.max(iat, nowSeconds(this.#options.clock))
    return { ...minted, expiresInSeconds }
  }

  async #mint(request: AccessTokenRequest): Promise<MintedToken> {
    const { policy, clients, signingKey } = this.#options
    const { issuer, accessTtlSeconds, tokenType, encryptionKeys } = policy
    const { sub, clientId, scope, audience, jkt, account, session } = request
    const { issuedAtSeconds: iat = this.#issuedAtSeconds(sub) } = request
    const { maxExpiresAtSeconds = Number.POSITIVE_INFINITY } = request
    const exp = Math.min(iat + accessTtlSeconds, maxExpiresAtSeconds)
    const client = account === null ? undefined : clients.find(clientId)
    const accessToken = await signAccessToken(
      {
        ...(account && client && attributeClaims(account, client, scope)),
        iss: issuer,
        sub,
        aud: audience,
        exp,
        iat,
        jti: randomId(),
        client_id: clientId,
        scope,
        ...session,
        ...(jkt !== null && { cnf: { jkt } }),
      },
      signingKey(),
      encryptionKeyFor(audience, encryptionKeys),
      tokenType,
    )
    return { accessToken, tokenType: jkt === null ? 'Bearer' : 'DPoP', scope, iat, exp }
  }

  /**
   * Returns the `iat` of a token. After a sign-out of all sessions in this second it is the next second,
   * because verifiers compare whole seconds. The clock that dated the sign-out may be ahead.
   */
  #issuedAtSeconds(sub: string): number {
    const { clock, policy, revocations } = this.#options
    const now = nowSeconds(clock)
    const revokedUntil = revocations.revokedUntilSeconds(sub)
    return revokedUntil < now ? now : Math.min(revokedUntil, now + policy.clockSkewSeconds) + 1
  }
}

/** RFC 6749 §5.1. */
export type AccessTokenResponse = ReturnType<typeof accessTokenResponse>

export function accessTokenResponse(issued: AccessTokenSet) {
  return {
    access_token: issued.accessToken,
    token_type: issued.tokenType,
    expires_in: issued.expiresInSeconds,
    scope: issued.scope,
  }
}

/** The response to a login or a refresh. */
export type SessionResponse = ReturnType<typeof sessionResponse>

export function sessionResponse(tokens: TokenSet, hasRefreshToken: boolean) {
  return {
    ...accessTokenResponse(tokens),
    session_id: tokens.sessionId,
    ...(hasRefreshToken && {
      refresh_token: tokens.refreshToken,
      refresh_token_expires_in: tokens.refreshExpiresInSeconds,
    }),
  }
}

/** The level of a sign-in (OpenID Connect Core §2): `1` for one factor, `2` for more. */
export function acrOf(amr: readonly string[]): string {
  return amr.length > 1 ? '2' : '1'
}

/**
 * Returns the key to encrypt a token for its audience with, or null.
 *
 * @throws `config_invalid` if one of several audiences has a key: an encrypted token has one reader
 */
function encryptionKeyFor(
  aud: string | readonly string[],
  keys: AudienceKeys,
): EncryptionKey | null {
  if (keys.size === 0) return null
  const audiences = [aud].flat()
  const key = audiences.map((audience) => keys.get(audience)).find((one) => one !== undefined)
  if (key === undefined) return null
  if (audiences.length === 1) return key
  const detail = 'A token for several audiences cannot be encrypted for one of them.'
  throw new GatepassError('config_invalid', { detail })
}
