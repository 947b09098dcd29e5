import type { StatementSync } from 'node:sqlite'
import { systemClock } from '../../core/clock.ts'
import {
  type AddedCount,
  type Count,
  type Counter,
  type CounterOptions,
  type CounterStore,
  windowMarginMs,
} from '../counter-store.ts'
import type { Schema } from '../migrations.ts'
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

  counter({ name, limit, windowSeconds }: CounterOptions): Counter {
    const rowKey = (key: string) => `${name}:${key}`
    const longestMs = windowSeconds * 1000 + windowMarginMs
    return {
      read: (key) => this.#db.read(() => this.#count(rowKey(key), longestMs)),
      add: (key, lengthSeconds = windowSeconds) =>
        this.#db.write(() => {
          const added = this.#addOne(rowKey(key), lengthSeconds * 1000, longestMs)
          return { ...added, isWithinLimit: added.count <= limit }
        }),
      reset: (key) =>
        this.#db.write(() => {
          this.#delete(rowKey(key))
        }),
    }
  }

  close(): Promise<void> {
    return this.#db.close()
  }

  #count(rowKey: string, longestMs: number): Count | null {
    const row = this.#select.get(rowKey) as CounterRow | undefined
    if (row === undefined) return null
    const resetsInMs = row.expire - systemClock.nowMs()
    return resetsInMs <= 0 || resetsInMs > longestMs ? null : { count: row.points, resetsInMs }
  }

  #addOne(rowKey: string, windowMs: number, longestMs: number): Omit<AddedCount, 'isWithinLimit'> {
    const nowMs = systemClock.nowMs()
    if (this.#writes % writesPerRemoval === 0) this.#removeExpired(nowMs)
    this.#writes += 1
    const values = [rowKey, nowMs + windowMs, nowMs, nowMs + longestMs]
    const row = this.#add.get(...values) as unknown as CounterRow
    return {
      count: row.points,
      resetsInMs: row.expire - nowMs,
      takeBack: () => this.#takeBack(rowKey, row.expire),
    }
  }

  /** A row with another end of its window does not count the event. */
  #takeBack(rowKey: string, expire: number): Promise<void> {
    return this.#db.write(() => {
      if (this.#deleteOnly(rowKey, expire) === 0) this.#takeOne(rowKey, expire)
    })
  }

  #removeExpired(nowMs: number): void {
    const slice = this.#slice.all(this.#sweptTo) as unknown as CounterRow[]
    for (const { key, expire } of slice) if (expire <= nowMs) this.#delete(key)
    this.#sweptTo = slice.length < sliceRows ? '' : (slice.at(-1)?.key ?? '')
  }
}

interface CounterRow {
  readonly key: string
  readonly points: number
  /** End of the window, in ms since 1970. */
  readonly expire: number
}
