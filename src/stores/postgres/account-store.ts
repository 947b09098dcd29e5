import type { Schema } from '../migrations.ts'
import type { Account, AccountStore } from '../ports.ts'
import { type AccountRow, accountColumns, toAccount } from '../sql-rows.ts'
import { isStorable, PostgresDatabase, type PostgresOptions, type Statement } from './database.ts'

const schema: Schema = {
  name: 'accounts',
  migrations: [
    {
      name: 'accounts',
      // The "C" collation compares normalized names by their bytes. Attributes are text, as JSONB
      // neither accepts every JSON string nor keeps a document unchanged.
      sql: `
      CREATE TABLE gatepass.accounts (
        created_at_ms BIGINT NOT NULL,
        updated_at_ms BIGINT NOT NULL,
        disabled BOOLEAN NOT NULL,
        sub TEXT COLLATE "C" PRIMARY KEY,
        login_name TEXT COLLATE "C" NOT NULL UNIQUE,
        password_hash TEXT NOT NULL,
        attributes TEXT NOT NULL
      ) WITH (fillfactor = 90);
    `,
    },
  ],
}

/** Inserts a row per index of the seven arrays, in order. Returns the inserted rows. */
const insertMany = {
  name: 'insert accounts',
  text: `
    INSERT INTO gatepass.accounts (${accountColumns})
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[],
      $6::bigint[], $7::bigint[])
    ON CONFLICT DO NOTHING
    RETURNING sub, login_name`,
}

const selectByLoginName: Statement = {
  name: 'select account by login name',
  rowMode: 'array',
  text: `SELECT ${accountColumns} FROM gatepass.accounts WHERE login_name = $1`,
}

const selectBySubs: Statement = {
  name: 'select accounts by sub',
  rowMode: 'array',
  text: `SELECT ${accountColumns} FROM gatepass.accounts WHERE sub = ANY ($1)`,
}

const selectPage: Statement = {
  name: 'select accounts',
  rowMode: 'array',
  text: `
    SELECT ${accountColumns} FROM gatepass.accounts
    WHERE login_name > $1 ORDER BY login_name LIMIT $2`,
}

const updateHash = {
  name: 'update password hash',
  text: `
    UPDATE gatepass.accounts SET password_hash = $2, updated_at_ms = $3
    WHERE sub = $1 AND ($4::text IS NULL OR password_hash = $4)`,
}

const updateDisabled = {
  name: 'update disabled',
  text: 'UPDATE gatepass.accounts SET disabled = $2, updated_at_ms = $3 WHERE sub = $1',
}

/** Accounts in Postgres (`postgres:`). */
export class PostgresAccountStore implements AccountStore {
  readonly #db: PostgresDatabase
  readonly #read: (sub: string) => Promise<AccountRow | null>

  private constructor(db: PostgresDatabase) {
    this.#db = db
    this.#read = db.rowReader(selectBySubs)
  }

  /** @throws `config_invalid`, `store_unavailable`, `migration_failed` */
  static async open(url: string, options?: PostgresOptions): Promise<PostgresAccountStore> {
    return new PostgresAccountStore(await PostgresDatabase.open(url, schema, options))
  }

  async create(accounts: readonly Account[]): Promise<string[]> {
    const { rows } = await this.#db.run<{ sub: string; login_name: string }>(insertMany, [
      accounts.map(({ sub }) => sub),
      accounts.map(({ loginName }) => loginName),
      accounts.map(({ passwordHash }) => passwordHash),
      accounts.map(({ attributes }) => JSON.stringify(attributes)),
      accounts.map(({ disabled }) => disabled),
      accounts.map(({ createdAtMs }) => createdAtMs),
      accounts.map(({ updatedAtMs }) => updatedAtMs),
    ])
    const created = new Set(rows.map((row) => identity(row.sub, row.login_name)))
    return (
      accounts
        // Of two equal accounts, only the first was created.
        .filter(({ sub, loginName }) => !created.delete(identity(sub, loginName)))
        .map(({ loginName }) => loginName)
    )
  }

  async findByLoginName(loginName: string): Promise<Account | null> {
    if (!isStorable(loginName)) return null
    const { rows } = await this.#db.run<AccountRow>(selectByLoginName, [loginName], true)
    return rows[0] === undefined ? null : toAccount(rows[0])
  }

  async findBySub(sub: string): Promise<Account | null> {
    const row = await this.#read(sub)
    return row === null ? null : toAccount(row)
  }

  async setPasswordHash(
    sub: string,
    passwordHash: string,
    nowMs: number,
    expectedHash?: string,
  ): Promise<boolean> {
    const values = [sub, passwordHash, nowMs, expectedHash ?? null]
    const { rowCount } = await this.#db.run(updateHash, values)
    return rowCount === 1
  }

  async setDisabled(sub: string, disabled: boolean, nowMs: number): Promise<boolean> {
    const { rowCount } = await this.#db.run(updateDisabled, [sub, disabled, nowMs])
    return rowCount === 1
  }

  async list({ after = '', limit }: { after?: string; limit: number }): Promise<Account[]> {
    const { rows } = await this.#db.run<AccountRow>(selectPage, [after, limit], true)
    return rows.map(toAccount)
  }

  ping(): Promise<void> {
    return this.#db.ping()
  }

  close(): Promise<void> {
    return this.#db.close()
  }
}

function identity(sub: string, loginName: string): string {
  return JSON.stringify([sub, loginName])
}
