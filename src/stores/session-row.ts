import type { Session } from './ports.ts'

/** A session as the columns of an SQL table have it. */
export interface SessionRow {
  readonly sid: string
  readonly sub: string
  readonly client_id: string
  readonly scope: string
  readonly amr: string
  readonly user_agent: string
  readonly created_at_ms: number
  readonly ends_at_ms: number
  readonly expires_at_ms: number
  readonly generation: number
  readonly minted_at_ms: number
  /** SQLite has numbers for it. */
  readonly presented: boolean | number
  readonly idempotency_key: Uint8Array | null
  readonly revoked_at_ms: number | null
  readonly jkt: string | null
  readonly first_retry_at_ms: number | null
  readonly last_retry_at_ms: number | null
  readonly other_key: Uint8Array | null
  readonly replay_keys: Uint8Array | null
  readonly late_replay_at_ms: number | null
}

export function toSession(row: SessionRow): Session {
  return {
    sid: row.sid,
    sub: row.sub,
    clientId: row.client_id,
    scope: row.scope,
    amr: row.amr.split(' '),
    userAgent: row.user_agent,
    createdAtMs: row.created_at_ms,
    endsAtMs: row.ends_at_ms,
    expiresAtMs: row.expires_at_ms,
    generation: row.generation,
    mintedAtMs: row.minted_at_ms,
    presented: Boolean(row.presented),
    idempotencyKey: toBuffer(row.idempotency_key),
    firstRetryAtMs: row.first_retry_at_ms,
    lastRetryAtMs: row.last_retry_at_ms,
    otherKey: toBuffer(row.other_key),
    replayKeys: toBuffer(row.replay_keys),
    lateReplayAtMs: row.late_replay_at_ms,
    revokedAtMs: row.revoked_at_ms,
    jkt: row.jkt,
  }
}

function toBuffer(bytes: Uint8Array | null): Buffer | null {
  return bytes === null ? null : Buffer.from(bytes)
}
