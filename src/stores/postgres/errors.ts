import { DatabaseError } from 'pg'
import { GatepassError } from '../../core/errors.ts'
import type { PostgresTarget } from './url.ts'

/** What a caller is told to wait when the database did not answer. */
const retryAfterSeconds = 1

/** SQLSTATE (appendix A of the Postgres manual) of what undid the statement and may pass. */
const passing = new Set([
  '40001', // serialization_failure
  '40P01', // deadlock_detected
  '25006', // read_only_sql_transaction: the server is a standby now, the next one may not be
  '53300', // too_many_connections
  '57P03', // cannot_connect_now: it is starting up or shutting down
])

/**
 * What is known of a statement that failed. `undone`: it did not happen, and is worth another try.
 * `unknown`: the connection broke, and it may have happened. `refused`: it did not happen, and
 * would not another time; or there is no time left.
 */
export type Fate = 'undone' | 'unknown' | 'refused'

export function fateOf(error: unknown, phase: 'connecting' | 'running'): Fate {
  if (error instanceof GatepassError) return 'refused'
  if (error instanceof DatabaseError) {
    if (passing.has(error.code ?? '')) return 'undone'
    if (!isConnectionLost(error)) return 'refused'
  }
  return phase === 'connecting' ? 'undone' : 'unknown'
}

/** Whether the connection can run the next statement: the server refused this one, no more. */
export function isConnectionSound(error: unknown): boolean {
  // Of classes 40 (rollback) and 23 (constraints), and 57014: statement_timeout.
  return error instanceof DatabaseError && /^(40|23)|^57014$/.test(error.code ?? '')
}

/** The server ended the connection (class 57P), or says that there is none (class 08). */
function isConnectionLost({ code = '' }: DatabaseError): boolean {
  return code.startsWith('57P') || code.startsWith('08')
}

/** `store_unavailable`, with a cause for the log. */
export function unavailable(error: unknown): GatepassError {
  if (error instanceof GatepassError) return error
  return new GatepassError('store_unavailable', { cause: withoutValues(error), retryAfterSeconds })
}

/** `store_unavailable` with a sentence for whoever starts the process. */
export function cantOpen({ host, port }: PostgresTarget, error: unknown): GatepassError {
  const { message, code }: NodeJS.ErrnoException =
    error instanceof Error ? error : new Error(`${error}`)
  return new GatepassError('store_unavailable', {
    // An error for several addresses of one name has a code and no message.
    detail: `Postgres at ${host}:${port} can't be used: ${message || code}.`,
    cause: withoutValues(error),
  })
}

/** Postgres puts whole rows into `detail` and `where`: a password hash must not reach the log. */
function withoutValues(error: unknown): unknown {
  if (!(error instanceof DatabaseError)) return error
  return Object.assign(new Error(`Postgres: ${error.message}`), { code: error.code })
}
