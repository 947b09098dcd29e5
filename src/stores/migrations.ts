import { GatepassError } from '../core/errors.ts'
import { digest } from '../core/secrets.ts'

/** One step of a schema. Its SQL never changes once released: a further step follows instead. */
export interface Migration {
  readonly name: string
  readonly sql: string
}

/** The tables of one store. Stores may share a database: each schema counts its own steps. */
export interface Schema {
  readonly name: string
  readonly migrations: readonly Migration[]
}

/** The record of a step that was applied to the database. */
export interface AppliedMigration {
  readonly name: string
  readonly checksum: string
}

/** A step to apply, with the record to write. */
export interface PendingMigration extends Migration, AppliedMigration {
  /** Its index among the steps. */
  readonly position: number
}

/**
 * Returns the steps that a database lacks, in order.
 *
 * @param applied the steps of this schema that the database records, in order
 * @throws `migration_failed` if an applied step was changed or is unknown to this version
 */
export function pendingMigrations(
  { migrations }: Schema,
  applied: readonly AppliedMigration[],
): PendingMigration[] {
  if (applied.length > migrations.length) {
    throw new GatepassError('migration_failed', {
      detail:
        `A newer version of Gatepass has migrated this store (step "${applied.at(-1)?.name}"). ` +
        'Start that version, or restore a backup.',
    })
  }
  const steps = migrations.map((migration, position) => ({
    ...migration,
    position,
    checksum: digest(migration.sql).toString('hex'),
  }))
  for (const [position, { name, checksum }] of applied.entries()) {
    const step = steps[position]
    if (name !== step?.name || checksum !== step.checksum) {
      throw migrationFailed(`the step ${name} differs from the one that was applied`)
    }
  }
  return steps.slice(applied.length)
}

/** @param reason the error of the database, or a clause without its full stop */
export function migrationFailed(reason: unknown): GatepassError {
  const cause = reason instanceof Error ? reason : undefined
  return new GatepassError('migration_failed', {
    detail: `The schema could not be brought up to date: ${cause?.message ?? reason}`,
    cause,
  })
}
