import { type Clock, nowSeconds } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import { randomId } from '../core/secrets.ts'
import type { Account, Session } from '../stores/ports.ts'
import type { EncryptionKey } from '../tokens/encryption-key.ts'
import type { RefreshTokenCodec } from '../tokens/refresh-token.ts'
import { type SigningKey, signAccessToken } from '../tokens/signing.ts'
import { attributeClaims, type Clients, claimNames } from './clients.ts'
import type { RevocationFeed } from './revocation-feed.ts'

/** The tokens that a client receives from a login or a refresh. */
export interface TokenSet {
  readonly accessToken: string
  /** How to present the access token: RFC 6750, or with a proof of its key (RFC 9449 §7.1). */
  readonly tokenType: 'Bearer' | 'DPoP'
  readonly expiresInSeconds: number
  readonly scope: string
  readonly sessionId: string
  readonly refreshToken: string
  readonly refreshExpiresInSeconds: number
}

/** The audiences whose tokens are encrypted, each with its key. */
export type AudienceKeys = ReadonlyMap<string, EncryptionKey>

/** What every access token contains. */
export interface TokenPolicy {
  /** The `iss` of every token: the public URL of the issuer. */
  readonly issuer: string
  /** The `aud` of clients that have none of their own. */
  readonly audience: string
  /** Lifetime of an access token. */
  readonly accessTtlSeconds: number
  /** Default: no token is encrypted. */
  readonly encryptionKeys?: AudienceKeys
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

/** Mints the access token and the refresh token of a session. */
export class TokenMinter {
  readonly #options: TokenMinterOptions

  constructor(options: TokenMinterOptions) {
    this.#options = options
  }

  /**
   * @param account of the user; the scopes of the session select the attributes that become claims
   * @param jkt thumbprint of the key that the access token is bound to; null for a bearer token
   * @throws `token_too_large`, `keys_unavailable`
   */
  async mint(session: Session, account: Account, jkt = session.jkt): Promise<TokenSet> {
    const { refreshTokens, policy, clock } = this.#options
    const refreshTtlMs = session.expiresAtMs - clock.nowMs()
    return {
      accessToken: await this.#accessToken(session, account, jkt),
      tokenType: jkt === null ? 'Bearer' : 'DPoP',
      expiresInSeconds: policy.accessTtlSeconds,
      scope: session.scope,
      sessionId: session.sid,
      refreshToken: refreshTokens.mint(session),
      refreshExpiresInSeconds: Math.max(1, Math.floor(refreshTtlMs / 1000)),
    }
  }

  #accessToken(session: Session, account: Account, jkt: string | null): Promise<string> {
    const { policy, clients, signingKey } = this.#options
    const { issuer, audience, accessTtlSeconds, encryptionKeys = new Map() } = policy
    const client = clients.find(session.clientId)
    const aud = client?.audience ?? audience
    const names = client === undefined ? [] : claimNames(client, session.scope)
    const iat = this.#issuedAt(session.sub)
    return signAccessToken(
      {
        ...attributeClaims(account, names),
        iss: issuer,
        sub: session.sub,
        aud,
        exp: iat + accessTtlSeconds,
        iat,
        jti: randomId(),
        client_id: session.clientId,
        scope: session.scope,
        sid: session.sid,
        auth_time: Math.floor(session.createdAtMs / 1000),
        amr: session.amr,
        ...(jkt !== null && { cnf: { jkt } }),
      },
      signingKey(),
      encryptionKeyFor(aud, encryptionKeys),
    )
  }

  /**
   * Returns the `iat` of a token. A user who revokes all sessions and signs in within the same second
   * gets the next second, because verifiers compare whole seconds. Clocks of replicas may differ by
   * one more.
   */
  #issuedAt(sub: string): number {
    const now = nowSeconds(this.#options.clock)
    const revokedUntil = this.#options.revocations.revokedUntilSeconds(sub) ?? 0
    return revokedUntil < now ? now : Math.min(revokedUntil + 1, now + 2)
  }
}

/**
 * Returns the key to encrypt a token for its audience with, or null.
 *
 * @throws `config_invalid` if one of several audiences has a key: an encrypted token has one reader
 */
export function encryptionKeyFor(
  aud: string | readonly string[],
  keys: AudienceKeys,
): EncryptionKey | null {
  const audiences = [aud].flat()
  const [key, ...others] = audiences.map((audience) => keys.get(audience) ?? null)
  if (others.length === 0) return key ?? null
  if (key || others.some((other) => other !== null)) {
    const detail = 'A token for several audiences cannot be encrypted for one of them.'
    throw new GatepassError('config_invalid', { detail })
  }
  return null
}
