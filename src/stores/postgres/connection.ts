import type { ConnectionOptions } from 'node:tls'
import { type ClientConfig, type CustomTypesConfig, DatabaseError, types } from 'pg'
import { GatepassError } from '../../core/errors.ts'
import { readPem } from '../server-url.ts'
import { reasonOf, storeUnavailable } from '../store-errors.ts'
import type { PostgresTarget } from './url.ts'

export interface Timeouts {
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
export function connectionConfig(target: PostgresTarget, timeouts: Timeouts): ClientConfig {
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
export type FailureKind = 'undone' | 'unknown' | 'refused'

export function failureKind(error: unknown, phase: 'connecting' | 'running'): FailureKind {
  if (error instanceof GatepassError) return 'refused'
  if (error instanceof DatabaseError) {
    if (temporary.has(error.code ?? '')) return 'undone'
    if (!isConnectionLost(error)) return 'refused'
  }
  return phase === 'connecting' ? 'undone' : 'unknown'
}

/** Whether the connection can run another statement after the error. */
export function isConnectionUsable(error: unknown): boolean {
  // Class 40 (rollback), class 23 (constraints), and 57014 (statement_timeout).
  return error instanceof DatabaseError && /^(40|23)|^57014$/.test(error.code ?? '')
}

/** Whether a statement waited too long for a lock (55P03, lock_not_available). */
export function isLockTimeout(error: unknown): boolean {
  return error instanceof DatabaseError && error.code === '55P03'
}

/** Whether the server ended the connection (class 57P) or reports that it is lost (class 08). */
function isConnectionLost({ code = '' }: DatabaseError): boolean {
  return code.startsWith('57P') || code.startsWith('08')
}

/** Returns `store_unavailable` with a cause that may be logged. */
export function unavailable(error: unknown): GatepassError {
  return storeUnavailable(withoutValues(error))
}

/** Returns `store_unavailable` with a detail for the operator. */
export function cannotOpen({ host, port }: PostgresTarget, error: Error): GatepassError {
  return new GatepassError('store_unavailable', {
    detail: `Postgres at ${host}:${port} cannot be used: ${reasonOf(error)}.`,
    cause: withoutValues(error),
  })
}

/** Copies message and code. `detail` and `where` of Postgres may quote rows with password hashes. */
function withoutValues(error: unknown): unknown {
  if (!(error instanceof DatabaseError)) return error
  return Object.assign(new Error(`Postgres: ${error.message}`), { code: error.code })
}
