import { Client, type ClientConfig, type QueryConfig } from 'pg'
import { isGatepassError } from '../../core/errors.ts'
import {
  type AppliedMigration,
  migrationFailed,
  type PendingMigration,
  pendingMigrations,
  type Schema,
} from '../migrations.ts'
import { connectionConfig } from './connection.ts'
import { cantOpen } from './errors.ts'
import type { PostgresTarget } from './url.ts'

/** How long a step may take, and how long a replica waits for another one's. */
const stepMs = 600_000

/**
 * All our tables are in a Postgres schema of their own, so that they may share a database with
 * others. Only the owner of a database may create one, so an administrator may have done it.
 */
const createTable = `
  DO $$ BEGIN
    IF to_regnamespace('gatepass') IS NULL THEN CREATE SCHEMA gatepass; END IF;
  END $$;
  CREATE TABLE IF NOT EXISTS gatepass.migrations (
    schema TEXT, position INTEGER, name TEXT NOT NULL, checksum TEXT NOT NULL,
    PRIMARY KEY (schema, position));
`

/**
 * Brings a schema up to its last migration, each in its place and once, all in one transaction.
 * Several replicas may start at once: the first one in holds a lock, the others wait. Where nothing
 * is missing, none is taken, and no right to change a table is needed.
 *
 * @throws `migration_failed` when a step fails, was changed, or is not known to this version;
 *   `store_unavailable` when there is no connection
 */
export async function migrate(
  target: PostgresTarget,
  schema: Schema,
  connectMs: number,
): Promise<void> {
  const client = await connect(target, {
    ...connectionConfig(target, { connectMs, statementMs: stepMs }),
    // A peer that fell silent does not hold up the start; what takes long says so.
    query_timeout: connectMs,
  })
  try {
    if ((await pending(client, schema)).length > 0) await apply(client, schema)
  } catch (error) {
    throw isGatepassError(error) ? error : migrationFailed(error)
  } finally {
    // Undoes what was not committed. Not waited for: a peer that fell silent would not answer.
    void client.end()
  }
}

async function connect(target: PostgresTarget, config: ClientConfig): Promise<Client> {
  const client = new Client(config)
  // A lost connection fails the statement that runs on it; nobody else need hear of it.
  client.on('error', () => {})
  try {
    await client.connect()
    return client
  } catch (error) {
    throw cantOpen(target, error)
  }
}

async function apply(client: Client, schema: Schema): Promise<void> {
  await client.query('BEGIN')
  await runLong(client, `SELECT pg_advisory_xact_lock(hashtextextended('gatepass.migrations', 0))`)
  await client.query(createTable)
  for (const step of await pending(client, schema)) {
    await runLong(client, step.sql)
    await client.query('INSERT INTO gatepass.migrations VALUES ($1, $2, $3, $4)', [
      schema.name,
      step.position,
      step.name,
      step.checksum,
    ])
  }
  await client.query('COMMIT')
}

async function runLong(client: Client, text: string): Promise<void> {
  const query: QueryConfig & { query_timeout: number } = { text, query_timeout: stepMs }
  await client.query(query)
}

async function pending(client: Client, schema: Schema): Promise<PendingMigration[]> {
  const found = await client.query(`SELECT to_regclass('gatepass.migrations') IS NOT NULL AS known`)
  if (!found.rows[0]?.known) return pendingMigrations(schema, [])
  const applied = await client.query<AppliedMigration>(
    'SELECT name, checksum FROM gatepass.migrations WHERE schema = $1 ORDER BY position',
    [schema.name],
  )
  return pendingMigrations(schema, applied.rows)
}
