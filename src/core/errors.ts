/**
 * Every failure that a caller can meet has one stable code, and this is the list of all of them.
 *
 * `status` is the HTTP status that the services answer with, `title` the short sentence a client
 * reads (RFC 9457 §3.1). docs/errors.md explains each; a test fails when one is missing there.
 */
export const errorCodes = {
  // A bearer token that is not accepted (RFC 6750 §3.1).
  token_missing: { status: 401, title: 'A bearer token is required.' },
  token_malformed: { status: 401, title: 'The token is not well formed.' },
  token_algorithm: { status: 401, title: 'The token names an algorithm that is not accepted.' },
  token_type: { status: 401, title: 'The token is not an access token.' },
  token_key_unknown: { status: 401, title: 'The token is signed by a key that is not known.' },
  token_signature: { status: 401, title: 'The signature of the token is not valid.' },
  token_claims: { status: 401, title: 'The claims of the token are not acceptable.' },
  token_expired: { status: 401, title: 'The token has expired.' },
  token_not_yet_valid: { status: 401, title: 'The token is not valid yet.' },
  token_revoked: { status: 401, title: 'The session of the token has ended.' },
  token_unbound: { status: 401, title: 'The token is not bound to a key, which this needs.' },
  scope_insufficient: { status: 403, title: 'The token lacks a scope that this needs.' },
  revocations_stale: { status: 503, title: 'What has been revoked is not known to be recent.' },
  keys_unavailable: { status: 503, title: 'The keys of the issuer are not available.' },

  // A proof that the sender of a token has its key (RFC 9449).
  dpop_proof_missing: { status: 401, title: 'A DPoP proof by the key of the token is required.' },
  dpop_proof_invalid: { status: 401, title: 'The DPoP proof is not acceptable.' },
  dpop_proof_replayed: { status: 401, title: 'The DPoP proof was used before.' },

  // Signing in and staying signed in.
  credentials_invalid: { status: 401, title: 'The user name or the password is wrong.' },
  too_many_attempts: { status: 429, title: 'There were too many attempts; wait before the next.' },
  client_unknown: { status: 400, title: 'No client of this id is configured.' },
  scope_not_allowed: { status: 400, title: 'The client may not ask for this scope.' },
  refresh_token_missing: { status: 401, title: 'A refresh token is required.' },
  refresh_token_malformed: { status: 401, title: 'The refresh token was not issued here.' },
  refresh_token_unknown: { status: 401, title: 'The session of the refresh token is not known.' },
  refresh_token_expired: { status: 401, title: 'The session has expired.' },
  refresh_token_revoked: { status: 401, title: 'The session has ended.' },
  refresh_token_reused: { status: 401, title: 'The refresh token was used before.' },
  cookie_duplicated: { status: 400, title: 'The refresh cookie was sent more than once.' },
  origin_not_allowed: { status: 403, title: 'This origin is not allowed.' },
  session_not_found: { status: 404, title: 'The user has no session of this id.' },
  token_too_large: { status: 500, title: 'The access token would be too large.' },

  // Session data.
  data_field_invalid: { status: 422, title: 'No field can have this name.' },
  data_field_not_found: { status: 404, title: 'There is no such field.' },
  data_value_invalid: { status: 422, title: 'The value is nothing that JSON can hold.' },
  data_value_unexpected: { status: 500, title: 'A stored value is not of the form it must have.' },
  data_value_too_large: { status: 413, title: 'The value is too large.' },
  data_fields_exceeded: { status: 422, title: 'There would be too many fields.' },
  data_conflict: { status: 412, title: 'The field has changed meanwhile.' },
  data_precondition_required: { status: 428, title: 'A change must say what it expects.' },

  // Accounts.
  account_exists: { status: 409, title: 'An account of this login name exists.' },
  account_not_found: { status: 404, title: 'No account of this login name exists.' },
  login_name_invalid: { status: 422, title: 'The login name is not acceptable.' },
  password_invalid: { status: 422, title: 'The password is not acceptable.' },
  password_hash_invalid: { status: 422, title: 'The password hash is of no known form.' },
  operation_unsupported: { status: 501, title: 'The account store does not offer this.' },

  // The playground of `gatepass dev`.
  replica_not_found: { status: 404, title: 'There is no replica of this name.' },
  replicas_exceeded: { status: 422, title: 'There would be too many replicas.' },
  replica_unavailable: { status: 503, title: 'No replica has answered.' },

  // Requests (bad input) and the service itself.
  request_malformed: { status: 400, title: 'The request is not well formed.' },
  request_invalid: { status: 422, title: 'The request has fields that are not acceptable.' },
  request_timeout: { status: 408, title: 'The request took too long to arrive.' },
  header_too_large: { status: 431, title: 'The header of the request is too large.' },
  body_too_large: { status: 413, title: 'The body of the request is too large.' },
  content_type_unsupported: { status: 415, title: 'The body must be application/json.' },
  route_not_found: { status: 404, title: 'There is nothing at this address.' },
  host_not_allowed: { status: 421, title: 'The service is not known by this host name.' },
  method_not_allowed: { status: 405, title: 'This address does not take this method.' },
  store_unavailable: { status: 503, title: 'A store is not available.' },
  clock_skew: { status: 503, title: 'The clock of the machine is wrong.' },
  overloaded: { status: 503, title: 'The service has too much to do.' },
  shutting_down: { status: 503, title: 'The service is shutting down.' },
  internal_error: { status: 500, title: 'Something went wrong inside the service.' },

  // The command line, for people who sign in by it.
  issuer_unavailable: { status: 503, title: 'The issuer cannot be reached.' },
  not_signed_in: { status: 401, title: 'Nobody is signed in here.' },

  // Configuration and start.
  config_invalid: { status: 500, title: 'The configuration is not acceptable.' },
  port_in_use: { status: 500, title: 'The port is in use by another program.' },
  key_store_invalid: { status: 500, title: 'The key store holds something that is not a key.' },
  migration_failed: {
    status: 500,
    title: 'The schema of a store could not be brought up to date.',
  },
} as const satisfies Record<string, { status: number; title: string }>

export type ErrorCode = keyof typeof errorCodes

/** One unacceptable field of an input: a JSON Pointer (RFC 6901) to it, and what is wrong. */
export interface FieldProblem {
  readonly pointer: string
  readonly detail: string
}

export interface ErrorDetails {
  /** A sentence for the caller. Never holds a secret, a token or an internal message. */
  readonly detail?: string
  /** The unacceptable fields, when the input was readable. */
  readonly problems?: readonly FieldProblem[]
  /** After how many seconds it is worth trying again (RFC 9110 §10.2.3). */
  readonly retryAfterSeconds?: number
  /** What really happened: for the log, never for the caller. */
  readonly cause?: unknown
}

/** The one error class of Gatepass. `code` is stable; `message` is for people and may change. */
export class GatepassError extends Error {
  override readonly name = 'GatepassError'
  readonly code: ErrorCode
  readonly problems: readonly FieldProblem[] | undefined
  readonly retryAfterSeconds: number | undefined
  readonly detail: string | undefined

  constructor(code: ErrorCode, details: ErrorDetails = {}) {
    super(
      details.detail ?? errorCodes[code].title,
      details.cause === undefined ? undefined : { cause: details.cause },
    )
    this.code = code
    this.detail = details.detail
    this.problems = details.problems
    this.retryAfterSeconds = details.retryAfterSeconds
  }

  /** The HTTP status that belongs to the code. */
  get status(): number {
    return errorCodes[this.code].status
  }
}

/** Whether `error` is ours and, when codes are given, has one of them. */
export function isGatepassError(error: unknown, ...codes: ErrorCode[]): error is GatepassError {
  return error instanceof GatepassError && (codes.length === 0 || codes.includes(error.code))
}

/** The media type of an error answer (RFC 9457 §3). */
export const problemType = 'application/problem+json'

/** The body of an error answer (RFC 9457). */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: ErrorCode
  readonly detail?: string
  readonly errors?: readonly FieldProblem[]
  readonly request_id?: string
}

export interface ProblemOptions {
  readonly requestId?: string
  /** Whether `token_claims` names the claims and what they must be. Default false, for production. */
  readonly namesClaims?: boolean
}

export function toProblem(
  { code, detail, problems }: GatepassError,
  { requestId, namesClaims = false }: ProblemOptions = {},
): Problem {
  const { status, title } = errorCodes[code]
  const namesFields = problems !== undefined && (namesClaims || code !== 'token_claims')
  return {
    type: `urn:gatepass:error:${code}`,
    title,
    status,
    code,
    ...(detail !== undefined && status < 500 && { detail }),
    ...(namesFields && { errors: problems }),
    ...(requestId !== undefined && { request_id: requestId }),
  }
}
