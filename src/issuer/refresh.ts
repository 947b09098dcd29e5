import type { Clock } from '../core/clock.ts'
import { type ErrorCode, GatepassError } from '../core/errors.ts'
import { digest } from '../core/secrets.ts'
import type { RotationPolicy, RotationResult, Session, SessionStore } from '../stores/ports.ts'
import type { RefreshTokenCodec } from '../tokens/refresh-token.ts'
import type { Audit } from './audit.ts'
import type { TokenMinter, TokenSet } from './tokens.ts'

export interface RefreshOptions {
  readonly sessions: SessionStore
  readonly refreshTokens: RefreshTokenCodec
  readonly minter: TokenMinter
  readonly policy: RotationPolicy
  readonly clock: Clock
}

/** Replaces a refresh token and mints the next access token (invariants 3 and 4). */
export class Refresh {
  readonly #options: RefreshOptions

  constructor(options: RefreshOptions) {
    this.#options = options
  }

  /**
   * @param idempotencyKey one a refresh attempt, kept over its retries; any text
   * @throws `refresh_token_malformed` without touching the store, `refresh_token_reused`,
   *   `refresh_token_revoked`, `refresh_token_expired`, `refresh_token_unknown`, `store_unavailable`
   */
  async rotate(
    refreshToken: string,
    idempotencyKey: string | undefined,
    audit: Audit,
  ): Promise<TokenSet> {
    const { sessions, refreshTokens, minter, policy, clock } = this.#options
    const { sid, generation } = refreshTokens.parse(refreshToken)
    const result = await sessions.rotate({
      sid,
      generation,
      idempotencyKey: idempotencyKey === undefined ? null : digest(idempotencyKey),
      nowMs: clock.nowMs(),
      policy,
    })
    return minter.mint(accepted(result, sid, audit))
  }
}

const refusals = {
  reused: 'refresh_token_reused',
  revoked: 'refresh_token_revoked',
  expired: 'refresh_token_expired',
  unknown: 'refresh_token_unknown',
} as const satisfies Record<string, ErrorCode>

/** The session, when the rotation went well; tells the audit log either way. */
function accepted({ outcome, session }: RotationResult, sid: string, audit: Audit): Session {
  const who = session === null ? { sid } : { sid, sub: session.sub, client_id: session.clientId }
  if (session !== null && (outcome === 'rotated' || outcome === 'replayed')) {
    audit(`refresh.${outcome}`, who)
    return session
  }
  if (outcome === 'reused') audit('refresh.reused', who)
  else audit('refresh.refused', { ...who, reason: outcome })
  throw new GatepassError(refusals[outcome as keyof typeof refusals])
}
