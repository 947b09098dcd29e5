import { type Clock, nowSeconds } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import { randomId } from '../core/secrets.ts'
import type { Account, Session } from '../stores/ports.ts'
import type { EncryptionKey } from '../tokens/encryption-key.ts'
import type { RefreshTokenCodec } from '../tokens/refresh-token.ts'
import { type SigningKey, signAccessToken } from '../tokens/signing.ts'
import { attributeClaims, type Clients, claimNames } from './clients.ts'

/** What a client holds after a login or a refresh. */
export interface TokenSet {
  readonly accessToken: string
  /** How the access token is presented: RFC 6750, or with a proof of its key (RFC 9449 §7.1). */
  readonly tokenType: 'Bearer' | 'DPoP'
  readonly expiresInSeconds: number
  readonly scope: string
  readonly sessionId: string
  readonly refreshToken: string
  readonly refreshExpiresInSeconds: number
}

export interface TokenMinterOptions {
  readonly issuer: string
  /** The `aud` of clients that have none of their own. */
  readonly audience: string
  readonly accessTtlSeconds: number
  readonly clients: Clients
  /** The audiences whose tokens are encrypted. */
  readonly encryptionKeys?: AudienceKeys
  readonly refreshTokens: RefreshTokenCodec
  readonly clock: Clock
  /** The key to sign with now. */
  signingKey(): SigningKey
  /** The last second whose tokens have ended for a user, if that was lately. */
  readonly revokedUntilSeconds?: ((sub: string) => number | null) | undefined
}

/** Turns the state of a session into the tokens that speak for it. */
export class TokenMinter {
  readonly #options: TokenMinterOptions

  constructor(options: TokenMinterOptions) {
    this.#options = options
  }

  /**
   * @param account of the user, whose attributes the scopes of the session turn into claims
   * @param jkt the key that the access token is bound to; null leaves it a bearer token
   * @throws `token_too_large`, `keys_unavailable`
   */
  async mint(session: Session, account: Account, jkt = session.jkt): Promise<TokenSet> {
    const { refreshTokens, accessTtlSeconds, clock } = this.#options
    return {
      accessToken: await this.#accessToken(session, account, jkt),
      tokenType: jkt === null ? 'Bearer' : 'DPoP',
      expiresInSeconds: accessTtlSeconds,
      scope: session.scope,
      sessionId: session.sid,
      refreshToken: refreshTokens.mint(session),
      refreshExpiresInSeconds: Math.max(
        1,
        Math.floor((session.expiresAtMs - clock.nowMs()) / 1000),
      ),
    }
  }

  #accessToken(session: Session, account: Account, jkt: string | null): Promise<string> {
    const { issuer, audience, accessTtlSeconds, clients } = this.#options
    const { encryptionKeys = new Map() } = this.#options
    const client = clients.find(session.clientId)
    const aud = client?.audience ?? audience
    const names = client === undefined ? [] : claimNames(client, session.scope)
    const iat = this.#iat(session.sub)
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
      this.#options.signingKey(),
      encryptionKeyFor(aud, encryptionKeys),
    )
  }

  /**
   * Who ends all sessions and signs in within the same second gets a token of the next one: by whole
   * seconds it can't be told from those that have ended. A replica's clock may be one ahead of ours.
   */
  #iat(sub: string): number {
    const now = nowSeconds(this.#options.clock)
    const ended = this.#options.revokedUntilSeconds?.(sub) ?? 0
    return ended < now ? now : Math.min(ended + 1, now + 2)
  }
}

/** The audiences whose tokens are encrypted, and for which key. */
export type AudienceKeys = ReadonlyMap<string, EncryptionKey>

/**
 * The key to encrypt a token for its audience with; null if the audience has none.
 *
 * @throws `config_invalid` for several audiences of which one has a key: an encrypted token has one
 *   reader. The settings refuse it too; but a token that must be encrypted never leaves in the clear.
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
