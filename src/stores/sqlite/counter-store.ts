import type { StatementSync } from 'node:sqlite'
import { systemClock } from '../../core/clock.ts'
import type { CounterStore, CounterWindow } from '../counter-store.ts'
import type { Schema } from '../migrations.ts'
import { type CounterRow, toCounterWindow } from '../sql-rows.ts'
import { type Change, SqliteDatabase } from './database.ts'

const schema: Schema = {
  name: 'counters',
  migrations: [
    {
      name: 'counters',
      sql: `
      CREATE TABLE counters (
        key TEXT PRIMARY KEY,
        points INTEGER NOT NULL,
        expire INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
    `,
    },
  ],
}

/**
 * One write in eight removes the expired rows of a slice that is larger than what these writes may add,
 * so expired rows do not accumulate.
 */
const writesPerRemoval = 8
const sliceRows = 2 * writesPerRemoval

/**
 * Counters in one SQLite file (`sqlite:`). A separate file is best, because each write makes other
 * connections read pages again. A count of zero is deleted, so that the file stays small.
 */
export class SqliteCounterStore implements CounterStore {
  readonly #db: SqliteDatabase
  readonly #select: StatementSync
  readonly #add: StatementSync
  readonly #delete: Change
  readonly #deleteOnly: Change
  readonly #takeOne: Change
  readonly #slice: StatementSync
  #writes = 0
  /** Where the removal of expired rows continues; '' is the start of the table. */
  #sweptTo = ''

  /** @throws `store_unavailable`, `migration_failed` */
  constructor(path: string) {
    this.#db = new SqliteDatabase(path, schema)
    // For this connection only. A power failure may lose seconds of counting; a flush per login would
    // delay every refresh.
    this.#db.prepare('PRAGMA synchronous = NORMAL').get()
    this.#select = this.#db.prepare('SELECT points, expire FROM counters WHERE key = ?')
    this.#add = this.#db.prepare(
      `INSERT INTO counters (key, points, expire) VALUES (?1, 1, ?2) ON CONFLICT DO UPDATE SET
         points = iif(expire BETWEEN ?3 + 1 AND ?4, points + 1, 1),
         expire = iif(expire BETWEEN ?3 + 1 AND ?4, expire, ?2)
       RETURNING points, expire`,
    )
    this.#delete = this.#db.prepareChange('DELETE FROM counters WHERE key = ?')
    this.#deleteOnly = this.#db.prepareChange(
      'DELETE FROM counters WHERE key = ? AND expire = ? AND points = 1',
    )
    this.#takeOne = this.#db.prepareChange(
      'UPDATE counters SET points = points - 1 WHERE key = ? AND expire = ?',
    )
    this.#slice = this.#db.prepare(
      `SELECT key, expire FROM counters WHERE key > ? ORDER BY key LIMIT ${sliceRows}`,
    )
  }

  read(key: string): Promise<CounterWindow | null> {
    return this.#db.read(() => {
      const row = this.#select.get(key) as CounterRow | undefined
      return row === undefined ? null : toCounterWindow(row, systemClock.nowMs())
    })
  }

  add(key: string, windowMs: number, maxWindowMs: number): Promise<CounterWindow> {
    return this.#db.write(() => {
      const nowMs = systemClock.nowMs()
      if (this.#writes % writesPerRemoval === 0) this.#removeExpired(nowMs)
      this.#writes += 1
      const row = this.#add.get(key, nowMs + windowMs, nowMs, nowMs + maxWindowMs)
      return toCounterWindow(row as unknown as CounterRow, nowMs)
    })
  }

  takeBack(key: string, endsAtMs: number): Promise<void> {
    return this.#db.write(() => {
      if (this.#deleteOnly(key, endsAtMs) === 0) this.#takeOne(key, endsAtMs)
    })
  }

  reset(key: string): Promise<void> {
    return this.#db.write(() => void this.#delete(key))
  }

  close(): Promise<void> {
    return this.#db.close()
  }

  #removeExpired(nowMs: number): void {
    const slice = this.#slice.all(this.#sweptTo)
    for (const row of slice) if (Number(row.expire) <= nowMs) this.#delete(String(row.key))
    this.#sweptTo = slice.length < sliceRows ? '' : String(slice.at(-1)?.key)
  }
}
