import type { StatementSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { digest } from '../../core/secrets.ts'
import type { Schema } from '../migrations.ts'
import {
  expiryMarginMs,
  followUpMs,
  type OneTimeUse,
  type Revocation,
  type RotationRequest,
  type RotationResult,
  type Session,
  type SessionStore,
} from '../ports.ts'
import { decideRotation, isLive, type RotationDecision, revoke } from '../rotation.ts'
import {
  changedColumns,
  changedValues,
  type OneTimeRow,
  type RevocationRow,
  type SessionRow,
  sessionColumns,
  sessionValues,
  toOneTimeUse,
  toRevocation,
  toSession,
} from '../sql-rows.ts'
import { boundLimit, type Change, SqliteDatabase } from './database.ts'

/** The sessions, the revocation log and the one-time values. */
export const sessionSchema: Schema = {
  name: 'sessions',
  migrations: [
    {
      name: 'sessions',
      sql: `
      CREATE TABLE sessions (
        sid TEXT PRIMARY KEY,
        sub TEXT NOT NULL,
        client_id TEXT NOT NULL,
        scope TEXT NOT NULL,
        amr TEXT NOT NULL,
        user_agent TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL,
        ends_at_ms INTEGER NOT NULL,
        expires_at_ms INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        minted_at_ms INTEGER NOT NULL,
        presented INTEGER NOT NULL,
        idempotency_key BLOB,
        revoked_at_ms INTEGER
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX sessions_by_sub ON sessions (sub);
    `,
    },
    {
      name: 'revocations',
      // AUTOINCREMENT: no position is used twice, even if the newest row was removed.
      sql: `
    CREATE TABLE revocations (
      position INTEGER PRIMARY KEY AUTOINCREMENT,
      kind TEXT NOT NULL,
      id TEXT NOT NULL,
      at_ms INTEGER NOT NULL,
      expires_at_ms INTEGER NOT NULL
    ) STRICT;
  `,
    },
    { name: 'session keys', sql: 'ALTER TABLE sessions ADD COLUMN jkt TEXT' },
    {
      name: 'sessions by number',
      // WITHOUT ROWID stores rows in inner pages too: a tree of a million sessions would be eight
      // pages deep. With a number as the rowid it is five pages deep.
      sql: `
      CREATE TABLE numbered_sessions (
        number INTEGER PRIMARY KEY,
        sid TEXT NOT NULL,
        sub TEXT NOT NULL,
        client_id TEXT NOT NULL,
        scope TEXT NOT NULL,
        amr TEXT NOT NULL,
        user_agent TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL,
        ends_at_ms INTEGER NOT NULL,
        expires_at_ms INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        minted_at_ms INTEGER NOT NULL,
        presented INTEGER NOT NULL,
        idempotency_key BLOB,
        revoked_at_ms INTEGER,
        jkt TEXT
      ) STRICT;
      INSERT INTO numbered_sessions
        SELECT number_of(sid) AS number, * FROM sessions ORDER BY number;
      DROP TABLE sessions;
      ALTER TABLE numbered_sessions RENAME TO sessions;
      CREATE INDEX sessions_by_sub ON sessions (sub);
    `,
    },
    {
      name: 'retries and replays',
      sql: `
      ALTER TABLE sessions ADD COLUMN first_retry_at_ms INTEGER;
      ALTER TABLE sessions ADD COLUMN last_retry_at_ms INTEGER;
      ALTER TABLE sessions ADD COLUMN other_key BLOB;
      ALTER TABLE sessions ADD COLUMN replay_keys BLOB;
      ALTER TABLE sessions ADD COLUMN late_replay_at_ms INTEGER;
    `,
    },
    {
      name: 'one-time values',
      sql: `
    CREATE TABLE one_time (
      id TEXT PRIMARY KEY,
      payload TEXT NOT NULL,
      taken_by TEXT,
      expires_at_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX one_time_by_expiry ON one_time (expires_at_ms);
  `,
    },
  ],
}

/** The smallest number. */
export const firstNumber = -(2n ** 63n)

const idBytes = 16
const idLength = 22
/** The last character of an id encodes two bits; the other four are zero. */
const lastCharacters = 'AQgw'
const scratch = Buffer.alloc(idBytes)

/**
 * Returns the rowid of a session: the halves of its id, 128 random bits, combined by XOR; for a text that is
 * not an id, the halves of its digest. Statements also compare the id, and `create` refuses a second
 * session of the same number, which is improbable in the life of a file.
 */
export function numberOf(sid: string): bigint {
  const isId =
    sid.length === idLength &&
    lastCharacters.includes(sid.charAt(idLength - 1)) &&
    scratch.write(sid, 'base64url') === idBytes
  const bytes = isId ? scratch : digest(sid)
  return bytes.readBigInt64BE(0) ^ bytes.readBigInt64BE(idBytes / 2)
}

/** A rotation changes one row, and a commit writes whole pages, so pages are small: three rows each. */
const pageBytes = 1024

/** Rows per step of a pass over all sessions, and the pause after each step. */
const batchRows = 500
const batchPauseMs = 10

/** Sessions in one SQLite file (`sqlite:`). A rotation runs `decideRotation` inside a write transaction. */
export class SqliteSessionStore implements SessionStore {
  readonly #db: SqliteDatabase
  readonly #insert: Change
  readonly #select: StatementSync
  readonly #selectBySub: StatementSync
  readonly #countBySub: StatementSync
  readonly #update: Change
  readonly #replace: Change
  readonly #slice: StatementSync
  readonly #delete: Change
  readonly #selectSliceEnd: StatementSync
  readonly #endSlice: StatementSync
  readonly #insertRevocation: Change
  readonly #selectRevocations: StatementSync
  readonly #deleteExpiredRevocations: Change
  readonly #insertOneTime: Change
  readonly #selectOneTime: StatementSync
  readonly #takeOneTime: StatementSync
  readonly #deleteOneTime: Change
  readonly #deleteExpiredOneTime: Change
  /** Where the removal of expired rows continues. */
  #sweptTo = firstNumber

  constructor(path: string) {
    this.#db = new SqliteDatabase(path, sessionSchema, {
      pageBytes,
      functions: { number_of: (sid) => numberOf(String(sid)) },
    })
    this.#insert = this.#db.prepareChange(
      `INSERT INTO sessions (number, ${sessionColumns})
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    this.#select = this.#db.prepare(
      `SELECT ${sessionColumns} FROM sessions WHERE number = ? AND sid = ?`,
    )
    this.#select.setReturnArrays(true)
    this.#selectBySub = this.#db.prepare(
      `SELECT ${sessionColumns} FROM sessions WHERE sub = ? AND revoked_at_ms IS NULL
       ORDER BY created_at_ms DESC, sid`,
    )
    this.#selectBySub.setReturnArrays(true)
    this.#countBySub = this.#db.prepare(
      'SELECT count(*) AS count FROM sessions WHERE sub = ? AND revoked_at_ms IS NULL',
    )
    const values = '(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)'
    const update = `UPDATE sessions SET (${changedColumns}) = ${values} WHERE number = ? AND sid = ?`
    this.#update = this.#db.prepareChange(update)
    this.#replace = this.#db.prepareChange(`${update} AND (${changedColumns}) IS ${values}`)
    this.#slice = this.#db.prepare(
      `SELECT number, expires_at_ms FROM sessions WHERE number > ? ORDER BY number ${boundLimit}`,
    )
    this.#slice.setReadBigInts(true)
    this.#delete = this.#db.prepareChange('DELETE FROM sessions WHERE number = ?')
    this.#selectSliceEnd = this.#db.prepare(
      `SELECT max(number) AS number
       FROM (SELECT number FROM sessions WHERE number > ? ORDER BY number ${boundLimit})`,
    )
    this.#selectSliceEnd.setReadBigInts(true)
    this.#endSlice = this.#db.prepare(
      `UPDATE sessions SET revoked_at_ms = ?, expires_at_ms = ?
       WHERE number > ? AND number <= ? AND created_at_ms < ? AND revoked_at_ms IS NULL
         AND expires_at_ms > ?
       RETURNING sid`,
    )
    this.#insertRevocation = this.#db.prepareChange(
      'INSERT INTO revocations (kind, id, at_ms, expires_at_ms) VALUES (?, ?, ?, ?)',
    )
    this.#selectRevocations = this.#db.prepare(
      `SELECT position, kind, id, at_ms, expires_at_ms FROM revocations
       WHERE position > ? ORDER BY position ${boundLimit}`,
    )
    // Looks at the oldest entries only: they expire roughly in the order of their positions.
    this.#deleteExpiredRevocations = this.#db.prepareChange(
      `DELETE FROM revocations WHERE expires_at_ms <= ? AND position IN
         (SELECT position FROM revocations ORDER BY position ${boundLimit})`,
    )
    this.#insertOneTime = this.#db.prepareChange(
      'INSERT INTO one_time (id, payload, expires_at_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
    )
    this.#selectOneTime = this.#db.prepare(
      'SELECT payload FROM one_time WHERE id = ? AND expires_at_ms > ? AND taken_by IS NULL',
    )
    this.#takeOneTime = this.#db.prepare(
      `UPDATE one_time SET taken_by = coalesce(taken_by, ?) WHERE id = ? AND expires_at_ms > ?
       RETURNING payload, taken_by`,
    )
    this.#deleteOneTime = this.#db.prepareChange('DELETE FROM one_time WHERE id = ?')
    this.#deleteExpiredOneTime = this.#db.prepareChange(
      `DELETE FROM one_time WHERE id IN (SELECT id FROM one_time WHERE expires_at_ms <= ?
         ORDER BY expires_at_ms ${boundLimit})`,
    )
  }

  create(session: Session): Promise<number> {
    return this.#db.write(() => {
      this.#insert(numberOf(session.sid), ...sessionValues(session))
      return Number(this.#countBySub.get(session.sub)?.count)
    })
  }

  rotate(request: RotationRequest): Promise<RotationResult> {
    return this.#db.write(() => {
      const decision = this.#rotateFound(request) ?? this.#rotateStored(request)
      if (decision.outcome === 'reused') {
        this.#appendToLog('session', request.sid, request.nowMs, request.policy.revokedKeptMs)
      }
      return decision
    })
  }

  find(sid: string, nowMs: number): Promise<Session | null> {
    return this.#db.read(() => {
      const session = this.#load(sid)
      return session !== null && isLive(session, nowMs) ? session : null
    })
  }

  listBySub(sub: string, nowMs: number): Promise<Session[]> {
    return this.#db.read(() => this.#loadLive(sub, nowMs))
  }

  revoke(sid: string, nowMs: number, keptMs: number): Promise<boolean> {
    return this.#db.write(() => {
      const session = this.#load(sid)
      if (session === null || !isLive(session, nowMs)) return false
      this.#save(revoke(session, nowMs, keptMs))
      this.#appendToLog('session', sid, nowMs, keptMs)
      return true
    })
  }

  revokeAll(sub: string, nowMs: number, keptMs: number): Promise<number> {
    return this.#db.write(() => {
      const live = this.#loadLive(sub, nowMs)
      for (const session of live) this.#save(revoke(session, nowMs, keptMs))
      // The entry is written without a live session too, because an access token may outlive its
      // session.
      this.#appendToLog('user', sub, nowMs, keptMs)
      return live.length
    })
  }

  async *endCreatedBefore(
    beforeMs: number,
    nowMs: number,
    keptMs: number,
  ): AsyncGenerator<string[]> {
    for (let after: bigint | null = firstNumber; after !== null; ) {
      const start: bigint = after
      const { end, sids } = await this.#db.write(() => {
        const end = this.#selectSliceEnd.get(start, batchRows)?.number as bigint | null
        if (end === null) return { end, sids: [] }
        const ended = this.#endSlice.all(nowMs, nowMs + keptMs, start, end, beforeMs, nowMs)
        return { end, sids: ended.map(({ sid }) => String(sid)) }
      })
      if (sids.length > 0) yield sids
      after = end
      // Other processes write during the pause.
      await sleep(batchPauseMs)
    }
  }

  revocationsAfter(position: string, limit: number): Promise<Revocation[]> {
    return this.#db.read(() => {
      // An unknown position is the start of the log.
      const rows = this.#selectRevocations.all(Number(position) || 0, limit)
      return (rows as unknown as RevocationRow[]).map(toRevocation)
    })
  }

  appendRevocation(
    kind: Revocation['kind'],
    id: string,
    nowMs: number,
    keptMs: number,
  ): Promise<void> {
    return this.#db.write(() => this.#appendToLog(kind, id, nowMs, keptMs))
  }

  putOneTime(id: string, payload: string, expiresAtMs: number): Promise<void> {
    return this.#db.write(() => void this.#insertOneTime(id, payload, expiresAtMs))
  }

  findOneTime(id: string, nowMs: number): Promise<string | null> {
    return this.#db.read(() => {
      const row = this.#selectOneTime.get(id, nowMs)
      return row === undefined ? null : String(row.payload)
    })
  }

  takeOneTime(id: string, takenBy: string, nowMs: number): Promise<OneTimeUse> {
    return this.#db.write(() => {
      const row = this.#takeOneTime.get(takenBy, id, nowMs) as OneTimeRow | undefined
      return toOneTimeUse(row, takenBy)
    })
  }

  deleteOneTime(id: string): Promise<void> {
    return this.#db.write(() => void this.#deleteOneTime(id))
  }

  claimOnce(id: string, expiresAtMs: number): Promise<boolean> {
    return this.#db.write(() => this.#insertOneTime(id, '', expiresAtMs) === 1)
  }

  removeExpired(nowMs: number, limit: number): Promise<boolean> {
    return this.#db.write(() => {
      const slice = this.#slice.all(this.#sweptTo, limit)
      for (const row of slice) {
        if (Number(row.expires_at_ms) <= nowMs) this.#delete(row.number as bigint)
      }
      const last = slice.length < limit ? undefined : slice.at(-1)
      this.#sweptTo = (last?.number as bigint | undefined) ?? firstNumber
      const removedFromLog = this.#deleteExpiredRevocations(nowMs - followUpMs, limit)
      const removedOneTime = this.#deleteExpiredOneTime(nowMs - expiryMarginMs, limit)
      return last !== undefined || removedFromLog === limit || removedOneTime === limit
    })
  }

  async clockMs(): Promise<null> {
    return null
  }

  ping(): Promise<void> {
    return this.#db.ping()
  }

  close(): Promise<void> {
    return this.#db.close()
  }

  /** Returns null if the session has changed since it was found, or does not change. */
  #rotateFound(request: RotationRequest): RotationDecision | null {
    const { found = null } = request
    if (found === null) return null
    const decision = decideRotation(found, request)
    if (decision.session === found) return null
    const changed = this.#replace(...updateValues(decision.session), ...changedValues(found))
    return changed === 1 ? decision : null
  }

  #rotateStored(request: RotationRequest): RotationResult {
    const before = this.#load(request.sid)
    if (before === null) return { outcome: 'unknown', session: null }
    const decision = decideRotation(before, request)
    if (decision.session !== before) this.#save(decision.session)
    return decision
  }

  #load(sid: string): Session | null {
    const row = this.#select.get(numberOf(sid), sid)
    return row === undefined ? null : toSession(row as unknown as SessionRow)
  }

  #loadLive(sub: string, nowMs: number): Session[] {
    const rows = this.#selectBySub.all(sub) as unknown as SessionRow[]
    return rows.map(toSession).filter((session) => isLive(session, nowMs))
  }

  #save(session: Session): void {
    this.#update(...updateValues(session))
  }

  #appendToLog(kind: Revocation['kind'], id: string, atMs: number, keptMs: number): void {
    this.#insertRevocation(kind, id, atMs, atMs + keptMs)
  }
}

/** Returns the parameters of a statement that updates a session. */
function updateValues(session: Session) {
  return [...changedValues(session), numberOf(session.sid), session.sid]
}
