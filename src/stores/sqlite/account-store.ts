import type { StatementSync } from 'node:sqlite'
import type { Schema } from '../migrations.ts'
import type { Account, AccountStore } from '../ports.ts'
import { type AccountRow, accountColumns, toAccount } from '../sql-rows.ts'
import { boundLimit, type Change, SqliteDatabase } from './database.ts'

const schema: Schema = {
  name: 'accounts',
  migrations: [
    {
      name: 'accounts',
      sql: `
      CREATE TABLE accounts (
        sub TEXT PRIMARY KEY,
        login_name TEXT NOT NULL UNIQUE,
        password_hash TEXT NOT NULL,
        attributes TEXT NOT NULL,
        disabled INTEGER NOT NULL,
        created_at_ms INTEGER NOT NULL,
        updated_at_ms INTEGER NOT NULL
      ) STRICT;
    `,
    },
  ],
}

/** Accounts in one SQLite file (`sqlite:`). */
export class SqliteAccountStore implements AccountStore {
  readonly #db: SqliteDatabase
  readonly #insert: Change
  readonly #selectByLoginName: StatementSync
  readonly #selectBySub: StatementSync
  readonly #selectPage: StatementSync
  readonly #updateHash: Change
  readonly #updateExpectedHash: Change
  readonly #updateDisabled: Change

  /** @throws `store_unavailable`, `migration_failed` */
  constructor(path: string) {
    this.#db = new SqliteDatabase(path, schema)
    // A replaced password hash leaves the file.
    this.#db.prepare('PRAGMA secure_delete = ON').get()
    // A taken name is an outcome, not an error: an error would fail the whole group of writes.
    this.#insert = this.#db.prepareChange(
      `INSERT INTO accounts (${accountColumns}) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
    )
    this.#selectByLoginName = this.#prepareSelect('WHERE login_name = ?')
    this.#selectBySub = this.#prepareSelect('WHERE sub = ?')
    this.#selectPage = this.#prepareSelect(`WHERE login_name > ? ORDER BY login_name ${boundLimit}`)
    const setHash = 'UPDATE accounts SET password_hash = ?, updated_at_ms = ? WHERE sub = ?'
    this.#updateHash = this.#db.prepareChange(setHash)
    this.#updateExpectedHash = this.#db.prepareChange(`${setHash} AND password_hash = ?`)
    this.#updateDisabled = this.#db.prepareChange(
      'UPDATE accounts SET disabled = ?, updated_at_ms = ? WHERE sub = ?',
    )
  }

  create(accounts: readonly Account[]): Promise<string[]> {
    return this.#db.write(() =>
      accounts.filter((account) => !this.#tryInsert(account)).map(({ loginName }) => loginName),
    )
  }

  findByLoginName(loginName: string): Promise<Account | null> {
    return this.#db.read(() => toFound(this.#selectByLoginName.get(loginName)))
  }

  findBySub(sub: string): Promise<Account | null> {
    return this.#db.read(() => toFound(this.#selectBySub.get(sub)))
  }

  setPasswordHash(
    sub: string,
    passwordHash: string,
    nowMs: number,
    expectedHash?: string,
  ): Promise<boolean> {
    return this.#db.write(() => {
      const changed =
        expectedHash === undefined
          ? this.#updateHash(passwordHash, nowMs, sub)
          : this.#updateExpectedHash(passwordHash, nowMs, sub, expectedHash)
      return changed === 1
    })
  }

  setDisabled(sub: string, disabled: boolean, nowMs: number): Promise<boolean> {
    return this.#db.write(() => this.#updateDisabled(Number(disabled), nowMs, sub) === 1)
  }

  list({ after = '', limit }: { after?: string; limit: number }): Promise<Account[]> {
    return this.#db.read(() =>
      (this.#selectPage.all(after, limit) as unknown as AccountRow[]).map(toAccount),
    )
  }

  ping(): Promise<void> {
    return this.#db.ping()
  }

  close(): Promise<void> {
    return this.#db.close()
  }

  #prepareSelect(clauses: string): StatementSync {
    const select = this.#db.prepare(`SELECT ${accountColumns} FROM accounts ${clauses}`)
    select.setReturnArrays(true)
    return select
  }

  #tryInsert(account: Account): boolean {
    const changed = this.#insert(
      account.sub,
      account.loginName,
      account.passwordHash,
      JSON.stringify(account.attributes),
      Number(account.disabled),
      account.createdAtMs,
      account.updatedAtMs,
    )
    return changed === 1
  }
}

/** The table is STRICT, so a row has the types of its columns. */
function toFound(row: unknown): Account | null {
  return row === undefined ? null : toAccount(row as AccountRow)
}
