import { setTimeout as sleep } from 'node:timers/promises'
import type { ConnectionOptions } from 'node:tls'
import {
  Client,
  type ClientConfig,
  type CustomTypesConfig,
  DatabaseError,
  Pool,
  type PoolClient,
  type QueryConfig,
  type QueryResult,
  type QueryResultRow,
  types,
} from 'pg'
import { reasonOf } from '../../core/error-text.ts'
import { GatepassError, isGatepassError } from '../../core/errors.ts'
import { Batcher } from '../batcher.ts'
import { InFlightCalls } from '../in-flight-calls.ts'
import {
  type AppliedMigration,
  migrationFailed,
  type PendingMigration,
  pendingMigrations,
  type Schema,
} from '../migrations.ts'
import { readPem } from '../server-url.ts'
import { storeUnavailable } from '../store-errors.ts'
import { type PostgresTarget, parsePostgresUrl } from './url.ts'

export interface PostgresOptions {
  /** Default: 10. */
  readonly maxConnections?: number
  /** Longest duration of a call: waiting for a connection, the statement, and repetitions. Default: 2,000. */
  readonly timeoutMs?: number
  /** Calls that may wait for a connection or a repetition. Default: 1,000. */
  readonly maxWaiting?: number
}

/** A statement. Each connection that runs it prepares it under its name. */
export interface Statement {
  readonly name: string
  readonly text: string
  /** Whether rows are arrays, in the order of the columns. Default: objects. */
  readonly rowMode?: 'array'
}

/** Most rows of one read. */
const maxReads = 100

/** Repetitions of an undone statement, and the longest pause before the first one. */
const maxRepeats = 3
const pauseMs = 25

/**
 * A bounded pool of connections to a Postgres database. Each call is one statement, so one transaction,
 * and ends within its deadline.
 */
export class PostgresDatabase {
  /** The deadline of a call. */
  readonly timeoutMs: number
  readonly #pool: Pool
  readonly #calls: InFlightCalls
  #closing: Promise<void> | null = null

  private constructor(target: PostgresTarget, options: PostgresOptions) {
    const { maxConnections = 10, timeoutMs = 2_000, maxWaiting = 1_000 } = options
    this.timeoutMs = timeoutMs
    this.#calls = new InFlightCalls(maxConnections + maxWaiting, unavailable)
    this.#pool = new Pool({
      ...connectionConfig(target, { connectMs: timeoutMs, statementMs: timeoutMs }),
      max: maxConnections,
      idleTimeoutMillis: 30_000,
    })
    // The statement of a broken connection fails by itself, and the pool removes the connection. An
    // `error` event without a listener would end the process.
    this.#pool.on('error', () => {})
    this.#pool.on('connect', (client) => client.on('error', () => {}))
  }

  /**
   * Connects and applies pending migrations.
   * @throws `config_invalid`, `store_unavailable`, `migration_failed`
   */
  static async open(
    url: string,
    schema: Schema,
    options: PostgresOptions = {},
  ): Promise<PostgresDatabase> {
    const target = parsePostgresUrl(url)
    const db = new PostgresDatabase(target, options)
    await migrate(target, schema, db.timeoutMs)
    return db
  }

  /**
   * Runs a statement. Repeats it after a deadlock or another temporary failure.
   *
   * @param isRepeatable whether the statement may be repeated although it may have run
   * @throws `store_unavailable`
   */
  run<R extends QueryResultRow>(
    statement: Statement,
    values: readonly unknown[],
    isRepeatable = false,
  ): Promise<QueryResult<R>> {
    return this.#calls.run(() => this.#runInTime<R>(statement, values, isRepeatable))
  }

  /**
   * Returns a read of a row by its key. Reads of one turn of the event loop share a statement.
   *
   * @param statement selects the rows of the keys in the array `$1`, each with its key first
   */
  rowReader<R extends readonly [key: string, ...unknown[]]>(
    statement: Statement,
  ): (key: string) => Promise<R | null> {
    const readBatch = async (keys: readonly string[]) => {
      const { rows } = await this.run<R>(statement, [keys], true)
      const found = new Map(rows.map((row) => [row[0], row]))
      return keys.map((key) => found.get(key) ?? null)
    }
    const reads = new Batcher<string, R | null>(readBatch, { maxItems: maxReads })
    return async (key) => (isStorable(key) ? reads.add(key) : null)
  }

  /** @throws `store_unavailable` */
  async ping(): Promise<void> {
    await this.run({ name: 'ping', text: 'SELECT 1' }, [], true)
  }

  /** Refuses further calls and waits for those in progress, which end within their deadlines. */
  close(): Promise<void> {
    this.#closing ??= this.#calls.close().then(() => this.#pool.end())
    return this.#closing
  }

  async #runInTime<R extends QueryResultRow>(
    statement: Statement,
    values: readonly unknown[],
    isRepeatable: boolean,
  ): Promise<QueryResult<R>> {
    const deadlineMs = performance.now() + this.timeoutMs
    for (let repeats = 0; ; repeats++) {
      let client: PoolClient | null = null
      try {
        const connecting = this.#pool.connect()
        client = await within(connecting, leftMs(deadlineMs), (late) => late.release())
        return await execute<R>(client, statement, values, deadlineMs)
      } catch (error) {
        const kind = failureKind(error, client === null ? 'connecting' : 'running')
        const mayRepeat = kind === 'undone' || (kind === 'unknown' && isRepeatable)
        // A random pause, so that statements that met in a deadlock do not meet again.
        const delayMs = Math.random() * pauseMs * 4 ** repeats
        if (!mayRepeat || repeats === maxRepeats) throw error
        if (performance.now() + delayMs >= deadlineMs) throw error
        await sleep(delayMs)
      }
    }
  }
}

/** Postgres refuses a text with this character, which a client may ask for. */
export function isStorable(key: string): boolean {
  return !key.includes('\0')
}

async function execute<R extends QueryResultRow>(
  client: PoolClient,
  statement: Statement,
  values: readonly unknown[],
  deadlineMs: number,
): Promise<QueryResult<R>> {
  const query: QueryConfig & { query_timeout: number } = {
    ...statement,
    values: [...values],
    query_timeout: leftMs(deadlineMs),
  }
  let isUsable = false
  try {
    const result = await client.query<R>(query)
    isUsable = true
    return result
  } catch (error) {
    isUsable = isConnectionUsable(error)
    throw error
  } finally {
    // The response to a statement that timed out may still come, so its connection is closed.
    client.release(!isUsable)
  }
}

/** Returns the time until the deadline; never 0, which pg takes for no limit. */
function leftMs(deadlineMs: number): number {
  return Math.max(1, Math.ceil(deadlineMs - performance.now()))
}

/** Rejects if `pending` takes too long. `onLate` receives a value that comes later. */
function within<T>(pending: Promise<T>, ms: number, onLate: (value: T) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(unavailable(new Error('Postgres gave no connection in time.')))
      pending.then(onLate, () => {})
    }, ms)
    void pending.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

/** Longest duration of a migration, and longest wait for a backup or the migration of another replica. */
const migrationTimeoutMs = 600_000
/**
 * All statements on a table wait behind a migration that waits for it, for example during a backup. So a
 * migration waits briefly, and starts again after a pause. After a second (`deadlock_timeout`) Postgres
 * cancels an `autovacuum` that it waits for.
 */
const lockTimeoutMs = 1_200
const lockRetryMs = 3_000
/** Limits how long a machine that has lost its network keeps the locks of its migration. */
const maxIdleMs = 10_000

/**
 * Our tables have a Postgres schema of their own, so that they can share a database. Creating a schema
 * needs a right that an administrator may have used for us.
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
 * Applies the pending migrations of a schema in one transaction. Replicas that start at the same time
 * wait for the first one. Without pending migrations it takes no lock and needs no right on tables.
 *
 * @throws `config_invalid` if the encoding of the database lacks characters; `migration_failed` if a step
 *   fails, was changed, or is unknown to this version; `store_unavailable`
 */
export async function migrate(
  target: PostgresTarget,
  schema: Schema,
  connectMs: number,
): Promise<void> {
  const client = await connect(target, {
    ...connectionConfig(target, { connectMs, statementMs: migrationTimeoutMs }),
    // A silent server does not block the start. Long statements set their own timeout.
    query_timeout: connectMs,
  })
  try {
    await checkEncoding(client, target)
    if ((await pending(client, schema)).length > 0) await applyRepeatedly(client, schema)
  } catch (error) {
    if (isGatepassError(error)) throw error
    const isRefused = failureKind(error, 'running') === 'refused'
    throw isRefused ? migrationFailed(error) : cannotOpen(target, error as Error)
  } finally {
    // Rolls back an open transaction. Not awaited, because a silent server would not reply.
    void client.end()
  }
}

async function connect(target: PostgresTarget, config: ClientConfig): Promise<Client> {
  const client = new Client(config)
  // The statement of a lost connection fails by itself.
  client.on('error', () => {})
  try {
    await client.connect()
    return client
  } catch (error) {
    throw cannotOpen(target, error as Error)
  }
}

/** Encodings in which every text of ours can be stored. SQL_ASCII stores the bytes that it gets. */
const encodings = ['UTF8', 'SQL_ASCII']

/** In another encoding, a login name with an unknown character would look like an outage. */
async function checkEncoding(client: Client, { database }: PostgresTarget): Promise<void> {
  const { rows } = await client.query<{ server_encoding: string }>('SHOW server_encoding')
  const encoding = rows[0]?.server_encoding ?? ''
  if (encodings.includes(encoding)) return
  const detail = `The Postgres database ${database} has the encoding ${encoding}; create it with UTF8.`
  throw new GatepassError('config_invalid', { detail })
}

/** Starts again while another session has a lock that a step needs. */
async function applyRepeatedly(client: Client, schema: Schema): Promise<void> {
  const untilMs = performance.now() + migrationTimeoutMs
  for (;;) {
    try {
      return await apply(client, schema)
    } catch (error) {
      if (!isLockTimeout(error) || performance.now() > untilMs) throw error
      await client.query('ROLLBACK')
      await sleep(lockRetryMs)
    }
  }
}

async function apply(client: Client, schema: Schema): Promise<void> {
  await client.query(`BEGIN; SET LOCAL idle_in_transaction_session_timeout = ${maxIdleMs}`)
  await runLong(client, `SELECT pg_advisory_xact_lock(hashtextextended('gatepass.migrations', 0))`)
  await client.query(`SET LOCAL lock_timeout = ${lockTimeoutMs}`)
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
  const query: QueryConfig & { query_timeout: number } = {
    text,
    query_timeout: migrationTimeoutMs,
  }
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

interface Timeouts {
  /** Longest time until a connection can be used. */
  readonly connectMs: number
  /** Longest time that the server works on a statement. */
  readonly statementMs: number
}

/**
 * Returns the settings of a connection. All are explicit, as pg reads missing settings from environment
 * variables.
 *
 * @throws `config_invalid` if the certificate file cannot be used
 */
function connectionConfig(target: PostgresTarget, timeouts: Timeouts): ClientConfig {
  const settings = {
    // The statements rely on it: one that waits for a row continues with the new version of the row.
    default_transaction_isolation: 'read\\ committed',
    statement_timeout: timeouts.statementMs,
  }
  return {
    host: target.host,
    port: target.port,
    user: target.user,
    // A function keeps the password out of errors and of inspected clients.
    password: () => target.password,
    database: target.database,
    ssl: tlsOptions(target),
    sslnegotiation: 'postgres',
    application_name: 'gatepass',
    options: Object.entries(settings)
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(' '),
    client_encoding: 'UTF8',
    connectionTimeoutMillis: timeouts.connectMs,
    keepAlive: true,
    types: parsers,
  }
}

/** Parses `bigint`, which pg returns as text. Our times and counts are safe integers. */
const parsers: CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text') =>
    oid === types.builtins.INT8
      ? Number
      : types.getTypeParser(oid, format)) as CustomTypesConfig['getTypeParser'],
}

function tlsOptions(target: PostgresTarget): false | ConnectionOptions {
  const { tlsMode, rootCertificateFile } = target
  if (tlsMode === 'disable') return false
  return {
    rejectUnauthorized: tlsMode !== 'require',
    ...(tlsMode === 'verify-ca' && { checkServerIdentity: () => undefined }),
    ...(rootCertificateFile !== null && { ca: readCertificates(rootCertificateFile) }),
  }
}

function readCertificates(file: string): Buffer {
  return readPem(file, true, (problem, cause) => {
    const detail = `The sslrootcert ${file} of the Postgres URL ${problem}.`
    return new GatepassError('config_invalid', { detail, cause })
  })
}

/** SQLSTATEs (Postgres manual, appendix A) after which a statement did not run and may succeed. */
const temporary = new Set([
  '40001', // serialization_failure
  '40P01', // deadlock_detected
  '25006', // read_only_sql_transaction: the server has become a standby
  '53300', // too_many_connections
  '57P03', // cannot_connect_now: the server starts or shuts down
])

/**
 * The effect of a failed statement. `undone`: it did not run and may succeed when repeated.
 * `unknown`: the connection broke, so it may have run. `refused`: a repeated statement would fail too.
 */
type FailureKind = 'undone' | 'unknown' | 'refused'

function failureKind(error: unknown, phase: 'connecting' | 'running'): FailureKind {
  if (error instanceof GatepassError) return 'refused'
  if (error instanceof DatabaseError) {
    if (temporary.has(error.code ?? '')) return 'undone'
    if (!isConnectionLost(error)) return 'refused'
  }
  return phase === 'connecting' ? 'undone' : 'unknown'
}

/** Whether the connection can run another statement after the error. */
function isConnectionUsable(error: unknown): boolean {
  // Class 40 (rollback), class 23 (constraints), and 57014 (statement_timeout).
  return error instanceof DatabaseError && /^(40|23)|^57014$/.test(error.code ?? '')
}

/** Whether a statement waited too long for a lock (55P03, lock_not_available). */
function isLockTimeout(error: unknown): boolean {
  return error instanceof DatabaseError && error.code === '55P03'
}

/** Whether the server ended the connection (class 57P) or reports that it is lost (class 08). */
function isConnectionLost({ code = '' }: DatabaseError): boolean {
  return code.startsWith('57P') || code.startsWith('08')
}

/** Returns `store_unavailable` with a cause that may be logged. */
function unavailable(error: unknown): GatepassError {
  return storeUnavailable(withoutValues(error))
}

/** Returns `store_unavailable` with a detail for the operator. */
function cannotOpen({ host, port }: PostgresTarget, error: Error): GatepassError {
  const detail = `Postgres at ${host}:${port} cannot be used: ${reasonOf(error)}.`
  return storeUnavailable(withoutValues(error), detail)
}

/** Copies message and code. `detail` and `where` of Postgres may quote rows with password hashes. */
function withoutValues(error: unknown): unknown {
  if (isGatepassError(error)) return error
  const { code } = error as NodeJS.ErrnoException
  return Object.assign(new Error(`Postgres: ${reasonOf(error as Error)}`), { code })
}
