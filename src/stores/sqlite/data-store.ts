import type { StatementSync } from 'node:sqlite'
import {
  type DataOwner,
  type DataRemoval,
  type DataStore,
  type DataWrite,
  isExpected,
  type RemovalOutcome,
  type StoredField,
  type WriteOutcome,
} from '../data-store.ts'
import type { Schema } from '../migrations.ts'
import { boundLimit, type Change, SqliteDatabase } from './database.ts'

const schema: Schema = {
  name: 'data',
  migrations: [
    {
      name: 'data',
      sql: `
      CREATE TABLE data_owners (
        owner TEXT PRIMARY KEY,
        expires_at_ms INTEGER NOT NULL,
        ended INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE data_fields (
        owner TEXT NOT NULL,
        field TEXT NOT NULL,
        version TEXT NOT NULL,
        value BLOB NOT NULL,
        UNIQUE (owner, field)
      ) STRICT;
    `,
    },
  ],
}

/** Session data in one SQLite file (`sqlite:`). Concurrent changes share a transaction. */
export class SqliteDataStore implements DataStore {
  readonly #db: SqliteDatabase
  readonly #owner: StatementSync
  readonly #setOwner: Change
  readonly #deleteOwner: Change
  readonly #field: StatementSync
  readonly #value: StatementSync
  readonly #fields: StatementSync
  readonly #count: StatementSync
  readonly #insert: Change
  readonly #update: Change
  readonly #delete: Change
  readonly #deleteAll: Change
  readonly #slice: StatementSync
  /** Where the removal of expired owners continues; '' is the start of the table. */
  #sweptTo = ''

  /** @throws `store_unavailable`, `migration_failed` */
  constructor(path: string) {
    const db = new SqliteDatabase(path, schema)
    this.#db = db
    // Deleted values leave the file.
    db.prepare('PRAGMA secure_delete = ON').get()
    this.#owner = db.prepare('SELECT expires_at_ms, ended FROM data_owners WHERE owner = ?')
    this.#setOwner = db.prepareChange(
      'INSERT OR REPLACE INTO data_owners (owner, expires_at_ms, ended) VALUES (?, ?, ?)',
    )
    this.#deleteOwner = db.prepareChange('DELETE FROM data_owners WHERE owner = ?')
    this.#field = db.prepare('SELECT rowid, version FROM data_fields WHERE owner = ? AND field = ?')
    this.#value = db.prepare(
      'SELECT field, version, value FROM data_fields WHERE owner = ? AND field = ?',
    )
    this.#fields = db.prepare('SELECT field, version, value FROM data_fields WHERE owner = ?')
    this.#count = db.prepare('SELECT count(*) AS n FROM data_fields WHERE owner = ?')
    this.#insert = db.prepareChange(
      'INSERT INTO data_fields (owner, field, version, value) VALUES (?, ?, ?, ?)',
    )
    this.#update = db.prepareChange('UPDATE data_fields SET version = ?, value = ? WHERE rowid = ?')
    this.#delete = db.prepareChange('DELETE FROM data_fields WHERE rowid = ?')
    this.#deleteAll = db.prepareChange('DELETE FROM data_fields WHERE owner = ?')
    this.#slice = db.prepare(
      `SELECT owner, expires_at_ms FROM data_owners WHERE owner > ? ORDER BY owner ${boundLimit}`,
    )
  }

  read(owner: DataOwner, fields: readonly string[] | 'all', nowMs: number) {
    return this.#db.read(() => {
      const key = keyOf(owner)
      if (this.#find(key, nowMs)?.ended !== 0) return new Map<string, StoredField>()
      const rows =
        fields === 'all'
          ? this.#fields.all(key)
          : fields.map((field) => this.#value.get(key, field)).filter((row) => row !== undefined)
      return new Map((rows as unknown as FieldRow[]).map(toEntry))
    })
  }

  write(write: DataWrite): Promise<WriteOutcome> {
    const { owner, field, value, version, expected, maxFields, expiresAtMs, nowMs } = write
    return this.#db.write(() => {
      const key = keyOf(owner)
      const stored = this.#find(key, nowMs)
      if (stored?.ended === 1) return 'ended'
      if (stored === null) this.#deleteAll(key)
      const found = this.#findField(key, field)
      if (!isExpected(found?.version ?? null, expected)) return 'conflict'
      if (found !== null) this.#update(version, value, found.rowid)
      else if (Number(this.#count.get(key)?.n) >= maxFields) return 'full'
      else this.#insert(key, field, version, value)
      if (stored === null || stored.expires_at_ms < expiresAtMs) this.#setOwner(key, expiresAtMs, 0)
      return 'written'
    })
  }

  remove({ owner, field, expected, nowMs }: DataRemoval): Promise<RemovalOutcome> {
    return this.#db.write(() => {
      const key = keyOf(owner)
      const stored = this.#find(key, nowMs)
      if (stored?.ended === 1) return 'ended'
      const found = stored === null ? null : this.#findField(key, field)
      if (!isExpected(found?.version ?? null, expected)) return 'conflict'
      if (found === null) return 'absent'
      this.#delete(found.rowid)
      return 'removed'
    })
  }

  touch(owner: DataOwner, expiresAtMs: number, nowMs: number): Promise<void> {
    return this.#db.write(() => {
      const key = keyOf(owner)
      const stored = this.#find(key, nowMs)
      if (stored?.ended === 0 && stored.expires_at_ms < expiresAtMs) {
        this.#setOwner(key, expiresAtMs, 0)
      }
    })
  }

  end(owner: DataOwner, untilMs: number, nowMs: number): Promise<void> {
    return this.#db.write(() => {
      const key = keyOf(owner)
      this.#deleteAll(key)
      if (untilMs > nowMs) this.#setOwner(key, untilMs, 1)
      else this.#deleteOwner(key)
    })
  }

  removeExpired(nowMs: number, limit: number): Promise<boolean> {
    return this.#db.write(() => {
      const slice = this.#slice.all(this.#sweptTo, limit)
      for (const row of slice) {
        if (Number(row.expires_at_ms) > nowMs) continue
        this.#deleteAll(String(row.owner))
        this.#deleteOwner(String(row.owner))
      }
      this.#sweptTo = slice.length < limit ? '' : String(slice.at(-1)?.owner)
      return this.#sweptTo !== ''
    })
  }

  close(): Promise<void> {
    return this.#db.close()
  }

  /** Returns null if there is no row, or if it has expired: its fields must not be read. */
  #find(key: string, nowMs: number): OwnerRow | null {
    const row = this.#owner.get(key) as OwnerRow | undefined
    return row === undefined || row.expires_at_ms <= nowMs ? null : row
  }

  #findField(key: string, field: string): FoundField | null {
    return (this.#field.get(key, field) as unknown as FoundField | undefined) ?? null
  }
}

interface OwnerRow {
  readonly expires_at_ms: number
  /** 1 if writes are refused. */
  readonly ended: number
}

interface FoundField {
  readonly rowid: number
  readonly version: string
}

interface FieldRow {
  readonly field: string
  readonly version: string
  readonly value: Uint8Array
}

function keyOf({ scope, id }: DataOwner): string {
  return `${scope}:${id}`
}

function toEntry({ field, version, value }: FieldRow): [string, StoredField] {
  return [field, { version, value: Buffer.from(value) }]
}
