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
    idempotencyKey: row.idempotency_key === null ? null : Buffer.from(row.idempotency_key),
    revokedAtMs: row.revoked_at_ms,
    jkt: row.jkt,
  }
}
