import type { DatabaseSync } from 'node:sqlite'
import { isGatepassError } from '../../core/errors.ts'
import {
  type AppliedMigration,
  migrationFailed,
  pendingMigrations,
  type Schema,
} from '../migrations.ts'

/**
 * Brings a schema up to its last migration, each in its place and once, all in one transaction.
 * Several processes may start at once: the first one in holds the write lock, the others wait.
 *
 * @throws `migration_failed` when a step fails, was changed, or is not known to this version
 */
export function migrate(db: DatabaseSync, schema: Schema): void {
  try {
    db.exec('BEGIN IMMEDIATE')
    db.exec(
      `CREATE TABLE IF NOT EXISTS migrations (
         schema TEXT, position INTEGER, name TEXT NOT NULL, checksum TEXT NOT NULL,
         PRIMARY KEY (schema, position)) STRICT, WITHOUT ROWID`,
    )
    const applied = db
      .prepare('SELECT name, checksum FROM migrations WHERE schema = ? ORDER BY position')
      .all(schema.name)
    const insert = db.prepare('INSERT INTO migrations VALUES (?, ?, ?, ?)')
    for (const step of pendingMigrations(schema, applied as unknown as AppliedMigration[])) {
      db.exec(step.sql)
      insert.run(schema.name, step.position, step.name, step.checksum)
    }
    db.exec('COMMIT')
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK')
    throw isGatepassError(error) ? error : migrationFailed(error)
  }
}
