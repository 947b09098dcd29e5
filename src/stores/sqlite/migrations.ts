import { createHash } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import { GatepassError } from '../../core/errors.ts'

/** One step of a schema. Once released its SQL never changes: a new step follows instead. */
export interface Migration {
  readonly name: string
  readonly sql: string
}

/** The tables of one store. Stores may share a file: each keeps count of its own steps. */
export interface Schema {
  readonly name: string
  readonly migrations: readonly Migration[]
}

/**
 * Brings a schema up to its last migration, each in its place and once, all in one transaction.
 * Several processes may start at once: the first one in holds the write lock, the others wait.
 *
 * @throws `migration_failed` when a step fails, was changed, or is not known to this version
 */
export function migrate(db: DatabaseSync, { name: schema, migrations }: Schema): void {
  try {
    db.exec('BEGIN IMMEDIATE')
    db.exec(
      `CREATE TABLE IF NOT EXISTS migrations (
         schema TEXT, position INTEGER, name TEXT NOT NULL, checksum TEXT NOT NULL,
         PRIMARY KEY (schema, position)) STRICT, WITHOUT ROWID`,
    )
    const applied = db
      .prepare('SELECT name, checksum FROM migrations WHERE schema = ? ORDER BY position')
      .all(schema)
    if (applied.length > migrations.length) {
      throw new Error(`the schema is newer than this version: ${applied.at(-1)?.name}`)
    }
    const insert = db.prepare('INSERT INTO migrations VALUES (?, ?, ?, ?)')
    for (const [position, migration] of migrations.entries()) {
      const sum = checksum(migration)
      const before = applied[position]
      if (before === undefined) {
        db.exec(migration.sql)
        insert.run(schema, position, migration.name, sum)
      } else if (before.name !== migration.name || before.checksum !== sum) {
        throw new Error(`the step ${before.name} is not the one that was applied`)
      }
    }
    db.exec('COMMIT')
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK')
    throw new GatepassError('migration_failed', {
      detail: `The schema could not be brought up to date: ${error instanceof Error ? error.message : error}`,
      cause: error,
    })
  }
}

function checksum(migration: Migration): string {
  return createHash('sha256').update(migration.sql).digest('hex')
}
