import { createHash } from 'node:crypto'
import { GatepassError } from '../core/errors.ts'

/** One step of a schema. Once released its SQL never changes: a new step follows instead. */
export interface Migration {
  readonly name: string
  readonly sql: string
}

/** The tables of one store. Stores may share a database: each keeps count of its own steps. */
export interface Schema {
  readonly name: string
  readonly migrations: readonly Migration[]
}

/** A step that was applied, as the database remembers it. */
export interface AppliedMigration {
  readonly name: string
  readonly checksum: string
}

/** A step that is still to be applied, and how to remember it. */
export interface PendingMigration extends Migration, AppliedMigration {
  /** Its place among the steps, from 0. */
  readonly position: number
}

/**
 * What is missing in a database, in order.
 *
 * @param applied the steps of this schema in the database, in order
 * @throws `migration_failed` when one of them was changed, or is not known to this version
 */
export function pendingMigrations(
  { migrations }: Schema,
  applied: readonly AppliedMigration[],
): PendingMigration[] {
  if (applied.length > migrations.length) {
    throw migrationFailed(`the schema is newer than this version: ${applied.at(-1)?.name}`)
  }
  const steps = migrations.map((migration, position) => ({
    ...migration,
    position,
    checksum: createHash('sha256').update(migration.sql).digest('hex'),
  }))
  for (const [position, before] of applied.entries()) {
    const step = steps[position]
    if (before.name !== step?.name || before.checksum !== step.checksum) {
      throw migrationFailed(`the step ${before.name} is not the one that was applied`)
    }
  }
  return steps.slice(applied.length)
}

/** @param why what the database said, or a sentence without its full stop */
export function migrationFailed(why: unknown): GatepassError {
  return new GatepassError('migration_failed', {
    detail: `The schema could not be brought up to date: ${why instanceof Error ? why.message : why}`,
    cause: why instanceof Error ? why : undefined,
  })
}
