import type { Clock } from '../core/clock.ts'
import { type ErrorCode, GatepassError } from '../core/errors.ts'
import { digest } from '../core/secrets.ts'
import type {
  Account,
  AccountStore,
  RotationPolicy,
  RotationResult,
  Session,
  SessionStore,
} from '../stores/ports.ts'
import type { RefreshTokenCodec } from '../tokens/refresh-token.ts'
import type { Audit } from './audit.ts'
import { type Clients, requireKey } from './clients.ts'
import type { Sessions } from './sessions.ts'
import type { TokenMinter, TokenSet } from './token-minter.ts'

export interface RefreshOptions {
  readonly accounts: Pick<AccountStore, 'findBySub'>
  readonly sessions: SessionStore
  readonly userSessions: Pick<Sessions, 'endAllOfAccount'>
  readonly refreshTokens: RefreshTokenCodec
  readonly minter: TokenMinter
  readonly clients: Clients
  readonly policy: RotationPolicy
  readonly clock: Clock
  /** Told of a session that reuse has ended. */
  readonly onSessionRevoked?: ((sid: string) => void) | undefined
}

export interface RefreshRequest {
  readonly refreshToken: string
  /** One a refresh attempt, kept over its retries; any text. */
  readonly idempotencyKey?: string | undefined
  /** The key that the client has shown possession of (RFC 9449). */
  readonly jkt?: string | undefined
}

export interface RefreshedTokens extends TokenSet {
  /** Whether the refresh token should be put into a cookie again. */
  readonly setsCookie: boolean
}

/**
 * Decides whether a response sets the cookie. A client that presents the current token has it in its
 * cookie. Late in the grace period a slow response could overwrite the successor with that token. Early
 * it does no harm, as there is no successor before the grace period is over.
 *
 * @param presented the generation of the token that came
 * @param session as it is after the rotation
 */
export function setsCookie(
  presented: number,
  session: Session,
  { nowMs, graceMs }: { readonly nowMs: number; readonly graceMs: number },
): boolean {
  return session.generation !== presented || nowMs - session.mintedAtMs <= graceMs / 2
}

/** Replaces a refresh token and mints the next access token (invariants 3 and 4). */
export class Refresh {
  readonly #options: RefreshOptions

  constructor(options: RefreshOptions) {
    this.#options = options
  }

  /**
   * The account is read before the rotation: an outage of its store leaves the session as it is, and a
   * retry is the first request that the session store sees.
   *
   * Without the key of a session that is bound to one, the session stays as it is. The access token
   * of one that is not is bound to the key that is shown, and to that alone: were the session too,
   * whoever stole its refresh token could lock its owner out.
   *
   * @throws `refresh_token_malformed` without touching the store, `refresh_token_reused`,
   *   `refresh_token_revoked` (also where the account is gone or disabled), `refresh_token_expired`,
   *   `refresh_token_unknown`, `dpop_proof_missing`, `dpop_proof_invalid`, `store_unavailable`
   */
  async rotate(request: RefreshRequest, audit: Audit): Promise<RefreshedTokens> {
    const { sessions, refreshTokens, minter, clients, policy, clock, onSessionRevoked } =
      this.#options
    const { refreshToken, idempotencyKey, jkt } = request
    const { sid, generation } = refreshTokens.parse(refreshToken)
    const live = await sessions.find(sid, clock.nowMs())
    const account = live && (await this.#accountOf(live, audit))
    const nowMs = clock.nowMs()
    const result = await sessions.rotate({
      sid,
      generation,
      idempotencyKey: idempotencyKey === undefined ? null : digest(idempotencyKey),
      jkt: jkt ?? null,
      nowMs,
      policy,
    })
    if (result.outcome === 'reused') onSessionRevoked?.(sid)
    const session = accepted(result, { sid, jkt }, audit)
    // A fail-over of the store has lost the end of the session in between.
    if (account === null) throw new GatepassError('refresh_token_revoked')
    requireKey(clients.find(session.clientId), jkt)
    const tokens = await minter.mint(session, account, jkt)
    const { graceMs } = policy
    return { ...tokens, setsCookie: setsCookie(generation, session, { nowMs, graceMs }) }
  }

  /** The account of a session. Where it is gone or disabled, all sessions of the user end. */
  async #accountOf(session: Session, audit: Audit): Promise<Account> {
    const { accounts, userSessions } = this.#options
    const { sid, sub, clientId } = session
    const account = await accounts.findBySub(sub)
    if (account !== null && !account.disabled) return account
    const reason = account === null ? 'account_not_found' : 'account_disabled'
    await userSessions.endAllOfAccount(session, reason, audit)
    audit('refresh.refused', { sid, sub, client_id: clientId, reason })
    throw new GatepassError('refresh_token_revoked')
  }
}

const refusals = {
  reused: 'refresh_token_reused',
  revoked: 'refresh_token_revoked',
  expired: 'refresh_token_expired',
  unknown: 'refresh_token_unknown',
  unproven: 'dpop_proof_invalid',
} as const satisfies Record<string, ErrorCode>

/** The session, when the rotation went well; tells the audit log either way. */
function accepted(
  { outcome, session }: RotationResult,
  { sid, jkt }: { readonly sid: string; readonly jkt: string | undefined },
  audit: Audit,
): Session {
  const who = session === null ? { sid } : { sid, sub: session.sub, client_id: session.clientId }
  if (session !== null && (outcome === 'rotated' || outcome === 'replayed')) {
    audit(`refresh.${outcome}`, who)
    return session
  }
  if (outcome === 'reused') audit('refresh.reused', who)
  else audit('refresh.refused', { ...who, reason: outcome })
  if (outcome === 'unproven' && jkt === undefined) throw new GatepassError('dpop_proof_missing')
  throw new GatepassError(refusals[outcome as keyof typeof refusals])
}
