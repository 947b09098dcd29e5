import type { Schema } from '../stores/migrations.ts'
import { PostgresDatabase, type PostgresOptions } from '../stores/postgres/database.ts'
import type { StoredKey } from './key-record.ts'
import type { KeyStore } from './key-store.ts'

const schema: Schema = {
  name: 'keys',
  migrations: [
    {
      name: 'keys',
      sql: `
      CREATE TABLE gatepass.keys (
        name TEXT COLLATE "C" PRIMARY KEY,
        record TEXT NOT NULL
      );
    `,
    },
  ],
}

const selectAll = { name: 'select keys', text: 'SELECT name, record AS text FROM gatepass.keys' }

const insert = {
  name: 'insert key',
  text: 'INSERT INTO gatepass.keys (name, record) VALUES ($1, $2) ON CONFLICT DO NOTHING',
}

/** Not an upsert: a key that another replica has removed must not reappear. */
const update = {
  name: 'update key',
  text: 'UPDATE gatepass.keys SET record = $2 WHERE name = $1',
}

const deleteOne = { name: 'delete key', text: 'DELETE FROM gatepass.keys WHERE name = $1' }

/** One background task reads the keys. */
const maxConnections = 2

/** Keeps signing keys in Postgres (`postgres:`), one row per key. */
export class PostgresKeyStore implements KeyStore {
  readonly #db: PostgresDatabase

  private constructor(db: PostgresDatabase) {
    this.#db = db
  }

  /** @throws `config_invalid`, `store_unavailable`, `migration_failed` */
  static async open(url: string, options?: PostgresOptions): Promise<PostgresKeyStore> {
    const db = await PostgresDatabase.open(url, schema, { maxConnections, ...options })
    return new PostgresKeyStore(db)
  }

  async list(): Promise<StoredKey[]> {
    const { rows } = await this.#db.run<StoredKey>(selectAll, [], true)
    return rows
  }

  async insertIfAbsent({ name, text }: StoredKey): Promise<boolean> {
    const { rowCount } = await this.#db.run(insert, [name, text])
    return rowCount === 1
  }

  async replace({ name, text }: StoredKey): Promise<void> {
    await this.#db.run(update, [name, text])
  }

  async remove(name: string): Promise<void> {
    await this.#db.run(deleteOne, [name], true)
  }

  close(): Promise<void> {
    return this.#db.close()
  }
}
