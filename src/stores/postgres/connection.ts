import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import { type ClientConfig, type CustomTypesConfig, types } from 'pg'
import { GatepassError } from '../../core/errors.ts'
import type { PostgresTarget } from './url.ts'

/** How long a connection may take to be there, and a statement to be done. */
export interface Timeouts {
  readonly connectMs: number
  readonly statementMs: number
}

/**
 * The settings of a connection. All are given, so that none comes from the environment, where pg
 * would look for those that are missing.
 *
 * @throws `config_invalid` when the file of certificates can't be read
 */
export function connectionConfig(target: PostgresTarget, timeouts: Timeouts): ClientConfig {
  const settings = {
    // The statements rely on it: one that waited for a row goes on with the row's new version.
    default_transaction_isolation: 'read\\ committed',
    // The server gives up when we do, rather than work on for nobody.
    statement_timeout: timeouts.statementMs,
  }
  return {
    host: target.host,
    port: target.port,
    user: target.user,
    // As a function it is in no error and no inspection of the client.
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

/** Milliseconds and counts are `bigint`, which pg gives as text; all of ours are safe integers. */
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

function readCertificates(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new GatepassError('config_invalid', {
      detail: `The sslrootcert ${file} of the Postgres URL can't be read.`,
      cause: error,
    })
  }
}
