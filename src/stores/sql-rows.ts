import { GatepassError } from '../core/errors.ts'
import { isPlainObject, type JsonObject, parseJson } from '../core/json.ts'
import type { Account, OneTimeUse, Revocation, Session } from './ports.ts'

/** Values as both databases take them: Postgres reads 0 and 1 as Boolean values. */
type SqlValue = string | number | Buffer | null

/** The columns that a rotation or an end changes, in the order of `changedValues`. */
export const changedColumns = `generation, minted_at_ms, presented, idempotency_key, expires_at_ms,
  revoked_at_ms, first_retry_at_ms, last_retry_at_ms, other_key, replay_keys, late_replay_at_ms`

export function changedValues(session: Session): SqlValue[] {
  return [
    session.generation,
    session.mintedAtMs,
    Number(session.presented),
    session.idempotencyKey,
    session.expiresAtMs,
    session.revokedAtMs,
    session.firstRetryAtMs,
    session.lastRetryAtMs,
    session.otherKey,
    session.replayKeys,
    session.lateReplayAtMs,
  ]
}

/** The columns of a session, in the order of `sessionValues`. Statements that select them survive added columns. */
export const sessionColumns = `sid, sub, client_id, scope, amr, user_agent, created_at_ms, ends_at_ms, jkt,
  ${changedColumns}`

export function sessionValues(session: Session): SqlValue[] {
  return [
    session.sid,
    session.sub,
    session.clientId,
    session.scope,
    session.amr.join(' '),
    session.userAgent,
    session.createdAtMs,
    session.endsAtMs,
    session.jkt,
    ...changedValues(session),
  ]
}

/** The values of `sessionColumns`, in their order: a row as an object takes SQLite twice as long to read. */
export type SessionRow = readonly [
  sid: string,
  sub: string,
  clientId: string,
  scope: string,
  amr: string,
  userAgent: string,
  createdAtMs: number,
  endsAtMs: number,
  jkt: string | null,
  generation: number,
  mintedAtMs: number,
  /** A number in SQLite. */
  presented: boolean | number,
  idempotencyKey: Uint8Array | null,
  expiresAtMs: number,
  revokedAtMs: number | null,
  firstRetryAtMs: number | null,
  lastRetryAtMs: number | null,
  otherKey: Uint8Array | null,
  replayKeys: Uint8Array | null,
  lateReplayAtMs: number | null,
]

export function toSession(row: SessionRow): Session {
  return {
    sid: row[0],
    sub: row[1],
    clientId: row[2],
    scope: row[3],
    amr: row[4].split(' '),
    userAgent: row[5],
    createdAtMs: row[6],
    endsAtMs: row[7],
    jkt: row[8],
    generation: row[9],
    mintedAtMs: row[10],
    presented: Boolean(row[11]),
    idempotencyKey: toBuffer(row[12]),
    expiresAtMs: row[13],
    revokedAtMs: row[14],
    firstRetryAtMs: row[15],
    lastRetryAtMs: row[16],
    otherKey: toBuffer(row[17]),
    replayKeys: toBuffer(row[18]),
    lateReplayAtMs: row[19],
  }
}

function toBuffer(bytes: Uint8Array | null): Buffer | null {
  return bytes === null ? null : Buffer.from(bytes)
}

/** A one-time value, and its first use. */
export interface OneTimeRow {
  readonly payload: string
  readonly taken_by: string
}

/** @param row the row after the use; undefined if there is none */
export function toOneTimeUse(row: OneTimeRow | undefined, takenBy: string): OneTimeUse {
  if (row === undefined) return { state: 'unknown' }
  const { payload, taken_by: first } = row
  if (first === takenBy) return { state: 'first', payload }
  return { state: 'used', payload, takenBy: first }
}

/** An entry of the revocation log. */
export interface RevocationRow {
  readonly position: number
  readonly kind: Revocation['kind']
  readonly id: string
  readonly at_ms: number
  readonly expires_at_ms: number
}

export function toRevocation(row: RevocationRow): Revocation {
  const { kind, id, at_ms: atMs, expires_at_ms: expiresAtMs } = row
  return { position: String(row.position), kind, id, atMs, expiresAtMs }
}

/** The columns of an account, in the order of `AccountRow`. */
export const accountColumns =
  'sub, login_name, password_hash, attributes, disabled, created_at_ms, updated_at_ms'

/** The values of `accountColumns`, in their order, like `SessionRow`. */
export type AccountRow = readonly [
  sub: string,
  loginName: string,
  passwordHash: string,
  attributes: string,
  /** A number in SQLite. */
  disabled: boolean | number,
  createdAtMs: number,
  updatedAtMs: number,
]

/** @throws `internal_error`, whose cause names the account, if its attributes are not a JSON object */
export function toAccount(row: AccountRow): Account {
  return {
    sub: row[0],
    loginName: row[1],
    passwordHash: row[2],
    attributes: attributesOf(row[0], row[3]),
    disabled: Boolean(row[4]),
    createdAtMs: row[5],
    updatedAtMs: row[6],
  }
}

/** The attributes may have been edited by SQL. An error of JSON.parse would quote them in the log. */
function attributesOf(sub: string, text: string): JsonObject {
  const value = parseJson(text)
  if (isPlainObject(value)) return value as JsonObject
  const cause = new Error(`The attributes of the user ${sub} are not a JSON object.`)
  throw new GatepassError('internal_error', { cause })
}
