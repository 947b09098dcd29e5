import { GatepassError } from '../../core/errors.ts'
import type { JsonObject } from '../../core/json.ts'
import type { Schema } from '../migrations.ts'
import type { Account, AccountStore } from '../ports.ts'
import { PostgresDatabase, type PostgresOptions } from './database.ts'

const schema: Schema = {
  name: 'accounts',
  migrations: [
    {
      name: 'accounts',
      // Names are normalised before they come here, and compared by their bytes. Attributes are
      // text: JSONB takes neither every string of JSON nor keeps what it takes as it is.
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

/** By name: a statement that is prepared must go on working when a column is added. */
const columns = 'sub, login_name, password_hash, attributes, disabled, created_at_ms, updated_at_ms'

/** One row for each place in the seven arrays, in their order; returns those that were inserted. */
const insertMany = {
  name: 'insert accounts',
  text: `
    INSERT INTO gatepass.accounts (${columns})
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[],
      $6::bigint[], $7::bigint[])
    ON CONFLICT DO NOTHING
    RETURNING sub, login_name`,
}

const selectByLoginName = {
  name: 'select account by login name',
  text: `SELECT ${columns} FROM gatepass.accounts WHERE login_name = $1`,
}

const selectBySub = {
  name: 'select account by sub',
  text: `SELECT ${columns} FROM gatepass.accounts WHERE sub = $1`,
}

const selectPage = {
  name: 'select accounts',
  text: `
    SELECT ${columns} FROM gatepass.accounts
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

  private constructor(db: PostgresDatabase) {
    this.#db = db
  }

  /** @throws `config_invalid`, `store_unavailable`, `migration_failed` */
  static async open(url: string, options?: PostgresOptions): Promise<PostgresAccountStore> {
    return new PostgresAccountStore(await PostgresDatabase.open(url, schema, options))
  }

  async create(account: Account): Promise<void> {
    const taken = await this.createMany([account])
    if (taken.length > 0) throw new GatepassError('account_exists')
  }

  async createMany(accounts: readonly Account[]): Promise<string[]> {
    const { rows } = await this.#db.run<Pick<AccountRow, 'sub' | 'login_name'>>(insertMany, [
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
        // The first of two that are alike was created, the second was not.
        .filter(({ sub, loginName }) => !created.delete(identity(sub, loginName)))
        .map(({ loginName }) => loginName)
    )
  }

  findByLoginName(loginName: string): Promise<Account | null> {
    return this.#find(selectByLoginName, loginName)
  }

  findBySub(sub: string): Promise<Account | null> {
    return this.#find(selectBySub, sub)
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

  async #find(statement: typeof selectBySub, key: string): Promise<Account | null> {
    // Postgres refuses such a text rather than not find it.
    if (key.includes('\0')) return null
    const { rows } = await this.#db.run<AccountRow>(statement, [key], true)
    return rows[0] === undefined ? null : toAccount(rows[0])
  }
}

function identity(sub: string, loginName: string): string {
  return JSON.stringify([sub, loginName])
}

interface AccountRow {
  readonly sub: string
  readonly login_name: string
  readonly password_hash: string
  readonly attributes: string
  readonly disabled: boolean
  readonly created_at_ms: number
  readonly updated_at_ms: number
}

function toAccount(row: AccountRow): Account {
  return {
    sub: row.sub,
    loginName: row.login_name,
    passwordHash: row.password_hash,
    attributes: JSON.parse(row.attributes) as JsonObject,
    disabled: row.disabled,
    createdAtMs: row.created_at_ms,
    updatedAtMs: row.updated_at_ms,
  }
}
