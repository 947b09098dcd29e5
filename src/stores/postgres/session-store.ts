import { Batcher } from '../batcher.ts'
import { compareAndSet } from '../compare-and-set.ts'
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
import { decideRotation, isLive } from '../rotation.ts'
import {
  changedValues,
  type OneTimeRow,
  type RevocationRow,
  type SessionRow,
  sessionValues,
  toOneTimeUse,
  toRevocation,
  toSession,
} from '../sql-rows.ts'
import { PostgresDatabase, type PostgresOptions, type Statement } from './database.ts'
import * as statements from './session-statements.ts'

/** The physical position (ctid) before the first row of a table. */
const tableStart = '(0,0)'

/** Rows per statement of a pass over all sessions. */
const batchRows = 500

/** Most sessions of one replacement. With all of a turn in one, Postgres and the service take turns. */
const maxReplacements = 32

/** A change of a session that a rotation has decided on. */
interface Replacement {
  readonly before: Session
  readonly after: Session
  /** How long the entry of a reuse stays in the log. */
  readonly keptMs: number
  /** Whether the statement may be repeated although it may have run. */
  readonly isRepeatable: boolean
}

interface EndedSlice {
  /** The last sid of the slice; null at the end of the table. */
  readonly last: string | null
  readonly sids: string[]
}

/** Sessions in Postgres (`postgres:`), shared by any number of issuers. */
export class PostgresSessionStore implements SessionStore {
  readonly #db: PostgresDatabase
  readonly #read: (sid: string) => Promise<SessionRow | null>
  readonly #replacements: Batcher<Replacement, boolean>
  /** Where the removal of expired rows continues. */
  #sweptTo = tableStart

  private constructor(db: PostgresDatabase) {
    this.#db = db
    this.#read = db.rowReader(statements.selectBySids)
    this.#replacements = new Batcher((changes) => this.#replaceBatch(changes), {
      maxItems: maxReplacements,
    })
  }

  /** @throws `config_invalid`, `store_unavailable`, `migration_failed` */
  static async open(url: string, options?: PostgresOptions): Promise<PostgresSessionStore> {
    return new PostgresSessionStore(await PostgresDatabase.open(url, statements.schema, options))
  }

  async create(session: Session): Promise<number> {
    const values = sessionValues(session)
    const { rows } = await this.#db.run<{ others: number }>(statements.insert, values)
    return (rows[0]?.others ?? 0) + 1
  }

  async rotate(request: RotationRequest): Promise<RotationResult> {
    const { sid, found = null, policy } = request
    const { graceMs, revokedKeptMs } = policy
    // After a broken connection the rotation may have happened. A repeated request is a replay during
    // the grace period; without one it would count as reuse. (A repeated `reused` is `revoked`.)
    const isRepeatable = graceMs > this.#db.timeoutMs
    const replace = (before: Session, after: Session) =>
      this.#replacements.add({ before, after, keptMs: revokedKeptMs, isRepeatable })
    const decide = (before: Session) => {
      const { outcome, session } = decideRotation(before, request)
      return { outcome, after: session }
    }
    const decision = await compareAndSet({ load: () => this.#load(sid), replace }, decide, found)
    if (decision === null) return { outcome: 'unknown', session: null }
    return { outcome: decision.outcome, session: decision.after }
  }

  async find(sid: string, nowMs: number): Promise<Session | null> {
    const session = await this.#load(sid)
    return session !== null && isLive(session, nowMs) ? session : null
  }

  async listBySub(sub: string, nowMs: number): Promise<Session[]> {
    const { rows } = await this.#db.run<SessionRow>(statements.selectBySub, [sub, nowMs], true)
    return rows.map(toSession)
  }

  async revoke(sid: string, nowMs: number, keptMs: number): Promise<boolean> {
    const { rowCount } = await this.#db.run(statements.revoke, [sid, nowMs, keptMs])
    return rowCount === 1
  }

  async revokeAll(sub: string, nowMs: number, keptMs: number): Promise<number> {
    const { rows } = await this.#db.run<{ sessions: number }>(statements.revokeAll, [
      sub,
      nowMs,
      keptMs,
    ])
    return rows[0]?.sessions ?? 0
  }

  async *endCreatedBefore(
    beforeMs: number,
    nowMs: number,
    keptMs: number,
  ): AsyncGenerator<string[]> {
    for (let after: string | null = ''; after !== null; ) {
      const values: unknown[] = [after, beforeMs, nowMs, keptMs, batchRows]
      const { rows } = await this.#db.run<EndedSlice>(statements.endSlice, values)
      const { last = null, sids = [] }: Partial<EndedSlice> = rows[0] ?? {}
      if (sids.length > 0) yield sids
      after = last
    }
  }

  async revocationsAfter(position: string, limit: number): Promise<Revocation[]> {
    // An unknown position is the start of the log.
    const last = /^\d{1,15}$/.test(position) ? position : '0'
    const values = [last, limit]
    const { rows } = await this.#db.run<RevocationRow>(statements.selectRevocations, values, true)
    return rows.map(toRevocation)
  }

  async appendRevocation(
    kind: Revocation['kind'],
    id: string,
    nowMs: number,
    keptMs: number,
  ): Promise<void> {
    await this.#db.run(statements.appendRevocation, [kind, id, nowMs, keptMs])
  }

  async putOneTime(id: string, payload: string, expiresAtMs: number): Promise<void> {
    await this.#db.run(statements.insertOneTime, [id, payload, expiresAtMs], true)
  }

  async findOneTime(id: string, nowMs: number): Promise<string | null> {
    const values = [id, nowMs]
    const { rows } = await this.#db.run<OneTimeRow>(statements.selectOneTime, values, true)
    return rows[0]?.payload ?? null
  }

  async takeOneTime(id: string, takenBy: string, nowMs: number): Promise<OneTimeUse> {
    const values = [id, takenBy, nowMs]
    const { rows } = await this.#db.run<OneTimeRow>(statements.takeOneTime, values, true)
    return toOneTimeUse(rows[0], takenBy)
  }

  async deleteOneTime(id: string): Promise<void> {
    await this.#db.run(statements.deleteOneTime, [id], true)
  }

  async claimOnce(id: string, expiresAtMs: number): Promise<boolean> {
    // Not repeated where it may have happened: the claim of this caller would look like another's.
    const { rowCount } = await this.#db.run(statements.insertOneTime, [id, '', expiresAtMs])
    return rowCount === 1
  }

  /** The removals run at the same time, so that one that fails holds up no other. */
  async removeExpired(nowMs: number, limit: number): Promise<boolean> {
    const hasMore = await Promise.all([
      this.#removeExpiredSessions(nowMs, limit),
      this.#removeSlice(statements.deleteExpiredRevocations, nowMs - followUpMs, limit),
      this.#removeSlice(statements.deleteExpiredOneTime, nowMs - expiryMarginMs, limit),
    ])
    return hasMore.includes(true)
  }

  async clockMs(): Promise<number> {
    const { rows } = await this.#db.run<{ now: number }>(statements.clock, [], true)
    return Number(rows[0]?.now)
  }

  ping(): Promise<void> {
    return this.#db.ping()
  }

  close(): Promise<void> {
    return this.#db.close()
  }

  async #removeExpiredSessions(nowMs: number, limit: number): Promise<boolean> {
    const values = [this.#sweptTo, nowMs, limit]
    const { rows } = await this.#db.run<{ seen: number; last: string | null }>(
      statements.deleteExpired,
      values,
    )
    const { seen = 0, last = null } = rows[0] ?? {}
    this.#sweptTo = seen < limit ? tableStart : (last ?? tableStart)
    return this.#sweptTo !== tableStart
  }

  async #removeSlice(statement: Statement, nowMs: number, limit: number): Promise<boolean> {
    const { rowCount } = await this.#db.run(statement, [nowMs, limit])
    return rowCount === limit
  }

  /** @returns whether each session was replaced */
  async #replaceBatch(changes: readonly Replacement[]): Promise<boolean[]> {
    const isRepeatable = changes.every((change) => change.isRepeatable)
    const values = changes.map(({ before, after, keptMs }) => [
      after.sid,
      keptMs,
      ...changedValues(before),
      ...changedValues(after),
    ])
    const columns = values[0]?.map((_value, at) => values.map((row) => row[at])) ?? []
    const { rows } = await this.#db.run<{ n: number }>(statements.replace, columns, isRepeatable)
    const replaced = new Set(rows.map(({ n }) => n))
    return changes.map((_change, at) => replaced.has(at + 1))
  }

  async #load(sid: string): Promise<Session | null> {
    const row = await this.#read(sid)
    return row === null ? null : toSession(row)
  }
}
