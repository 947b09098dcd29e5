/**
 * All error codes. A code is stable; its `title` may change.
 *
 * `status` is the HTTP status of a response, `title` its summary (RFC 9457 §3.1): what is wrong and,
 * where it helps, what to do. docs/errors.md explains each code; a test compares both lists.
 */
export const errorCodes = {
  // A bearer token that is not accepted (RFC 6750 §3.1).
  token_missing: { status: 401, title: 'Send an access token in the Authorization header.' },
  token_malformed: { status: 401, title: 'The access token is malformed.' },
  token_algorithm: { status: 401, title: 'The access token uses an unsupported algorithm.' },
  token_type: { status: 401, title: 'The token is not an access token.' },
  token_key_unknown: { status: 401, title: 'The key of the access token is unknown.' },
  token_signature: { status: 401, title: 'The signature of the access token is invalid.' },
  token_claims: { status: 401, title: 'The claims of the access token are invalid.' },
  token_expired: { status: 401, title: 'The access token has expired. Refresh it.' },
  token_not_yet_valid: { status: 401, title: 'The access token is not valid yet.' },
  token_revoked: {
    status: 401,
    title: 'The access token is revoked. Refresh it, or sign in again.',
  },
  token_unbound: {
    status: 401,
    title: 'This request requires an access token that is bound to a key.',
  },
  scope_insufficient: { status: 403, title: 'The access token lacks a required scope.' },
  revocations_stale: { status: 503, title: 'The revocation list is too old. Try again.' },
  keys_unavailable: { status: 503, title: 'The keys of the issuer are unavailable. Try again.' },

  // A proof that the sender of a token has its key (RFC 9449).
  dpop_proof_missing: { status: 401, title: 'This request requires a DPoP proof.' },
  dpop_proof_invalid: { status: 401, title: 'The DPoP proof is invalid.' },
  dpop_proof_replayed: {
    status: 401,
    title: 'The DPoP proof was already used. Create a new one for each request.',
  },
  use_dpop_nonce: {
    status: 401,
    title: 'Create a DPoP proof with the nonce from the DPoP-Nonce header.',
  },

  // Signing in and staying signed in.
  credentials_invalid: { status: 401, title: 'The user name or the password is wrong.' },
  too_many_attempts: { status: 429, title: 'Too many attempts failed. Wait before you try again.' },
  client_unknown: { status: 400, title: 'No client with this id is configured.' },
  scope_not_allowed: { status: 400, title: 'The client may not request this scope.' },
  client_authentication_failed: { status: 401, title: 'The client could not be authenticated.' },
  grant_unsupported: { status: 400, title: 'The grant type is not supported.' },
  grant_not_allowed: { status: 400, title: 'The client may not use this grant.' },
  grant_invalid: { status: 400, title: 'The code or token of the grant is invalid.' },
  subject_token_invalid: { status: 400, title: 'The subject token is invalid.' },
  token_not_revocable: { status: 400, title: 'The issuer cannot revoke this token.' },
  redirect_uri_not_allowed: { status: 400, title: 'The client has no such redirect URI.' },
  request_uri_invalid: { status: 400, title: 'The request URI is unknown, expired or used.' },
  form_expired: { status: 400, title: 'The form has expired, or belongs to another browser.' },
  resource_not_allowed: { status: 400, title: 'The client may not request this audience.' },
  refresh_token_missing: { status: 401, title: 'Send a refresh token, or sign in.' },
  refresh_token_malformed: { status: 401, title: 'The refresh token was not issued here.' },
  refresh_token_unknown: {
    status: 401,
    title: 'The session of the refresh token does not exist. Sign in again.',
  },
  refresh_token_expired: { status: 401, title: 'The session has expired. Sign in again.' },
  refresh_token_revoked: { status: 401, title: 'The session has ended. Sign in again.' },
  refresh_token_reused: { status: 401, title: 'The refresh token was used before.' },
  cookie_duplicated: {
    status: 400,
    title: 'The refresh cookie was sent more than once. Sign in again.',
  },
  origin_not_allowed: { status: 403, title: 'This origin is not allowed.' },
  client_not_allowed: { status: 403, title: 'This client may not manage the account.' },
  session_not_found: { status: 404, title: 'The user has no session with this id.' },
  consent_not_found: { status: 404, title: 'The user has not allowed this application.' },
  token_too_large: {
    status: 500,
    title: 'The access token is too large: the account has too many attributes.',
  },

  // Session data.
  data_field_invalid: { status: 422, title: 'The field name is invalid.' },
  data_field_not_found: { status: 404, title: 'The field does not exist.' },
  data_value_invalid: { status: 422, title: 'The value is invalid.' },
  data_value_unexpected: { status: 500, title: 'The stored value does not match its schema.' },
  data_value_too_large: { status: 413, title: 'The value is too large.' },
  data_fields_exceeded: {
    status: 422,
    title: 'The session or user has too many fields. Delete one.',
  },
  data_conflict: { status: 412, title: 'The field was changed by another request. Read it again.' },
  data_precondition_required: {
    status: 428,
    title: 'Send If-Match or If-None-Match with every change.',
  },

  // Accounts.
  account_exists: { status: 409, title: 'An account with this login name exists.' },
  account_not_found: { status: 404, title: 'No account has this login name.' },
  login_name_invalid: { status: 422, title: 'The login name is invalid.' },
  password_invalid: { status: 422, title: 'The password is invalid.' },
  password_hash_invalid: { status: 422, title: 'The password hash has an unsupported format.' },
  operation_unsupported: {
    status: 501,
    title: 'The account store does not support this operation.',
  },

  // The playground of `gatepass dev`.
  replica_not_found: { status: 404, title: 'No replica has this name.' },
  replicas_exceeded: { status: 422, title: 'There are too many replicas. Stop one first.' },
  replica_unavailable: { status: 503, title: 'No replica responded. Add one, or try again.' },

  // Requests (bad input) and the service itself.
  request_malformed: { status: 400, title: 'The request is malformed.' },
  request_invalid: { status: 422, title: 'Some fields of the request are invalid.' },
  request_timeout: { status: 408, title: 'The request took too long to arrive.' },
  header_too_large: { status: 431, title: 'The request header is too large.' },
  body_too_large: { status: 413, title: 'The request body is too large.' },
  content_type_unsupported: {
    status: 415,
    title: 'The content type of the body is not supported.',
  },
  route_not_found: { status: 404, title: 'No route has this address.' },
  host_not_allowed: { status: 421, title: 'This host name is not allowed. Use an IP address.' },
  method_not_allowed: { status: 405, title: 'This address does not support this method.' },
  store_unavailable: { status: 503, title: 'A store is not responding. Try again.' },
  clock_skew: { status: 503, title: 'The clock of the server is wrong. Try again later.' },
  overloaded: { status: 503, title: 'The service is overloaded. Try again later.' },
  shutting_down: { status: 503, title: 'The service is shutting down. Try again.' },
  internal_error: { status: 500, title: 'An internal error occurred.' },

  // The clients of Gatepass with which people sign in.
  issuer_unavailable: { status: 503, title: 'The issuer cannot be reached.' },
  authorization_failed: { status: 400, title: 'The sign-in failed. Try again.' },
  not_signed_in: { status: 401, title: 'Nobody is signed in here.' },

  // Configuration and start.
  config_invalid: { status: 500, title: 'The configuration is invalid.' },
  port_in_use: { status: 500, title: 'Another program uses the port.' },
  key_store_invalid: { status: 500, title: 'The key store contains something that is not a key.' },
  migration_failed: {
    status: 500,
    title: 'The schema of a store could not be migrated.',
  },
} as const satisfies Record<string, { status: number; title: string }>

export type ErrorCode = keyof typeof errorCodes

/** The codes after which a refresh token never works again. */
export const refreshTokenEndedCodes = [
  'refresh_token_malformed',
  'refresh_token_unknown',
  'refresh_token_expired',
  'refresh_token_revoked',
  'refresh_token_reused',
] as const satisfies ErrorCode[]

/** An invalid field of an input: a JSON Pointer (RFC 6901) to the field, and its problem. */
export interface FieldProblem {
  readonly pointer: string
  readonly detail: string
}

export interface ErrorDetails {
  /** A sentence for the caller. It never contains a secret, a token or an internal message. */
  readonly detail?: string
  /** The invalid fields of a readable input. */
  readonly problems?: readonly FieldProblem[]
  /** Seconds until a retry makes sense (RFC 9110 §10.2.3). */
  readonly retryAfterSeconds?: number
  /** The underlying error, for the log. The caller never sees it. */
  readonly cause?: unknown
}

/** Marks the errors of each copy of this module: a bundler may load both the ES module and CommonJS. */
const isGatepass = Symbol.for('gatepass.error')

/** The error class of Gatepass. `code` is stable, `message` may change. */
export class GatepassError extends Error {
  override readonly name = 'GatepassError'
  readonly code: ErrorCode
  /** The invalid options, fields or claims. */
  readonly problems: readonly FieldProblem[] | undefined
  /** Seconds until a retry makes sense (RFC 9110 §10.2.3). */
  readonly retryAfterSeconds: number | undefined
  /** A sentence about this failure, without secrets. */
  readonly detail: string | undefined

  /** @throws TypeError for an unknown code, which a program in JavaScript may pass */
  constructor(code: ErrorCode, details: ErrorDetails = {}) {
    if (!Object.hasOwn(errorCodes, code)) throw new TypeError(`There is no error code ${code}.`)
    const { title } = errorCodes[code]
    super(
      details.detail ?? title,
      details.cause === undefined ? undefined : { cause: details.cause },
    )
    this.code = code
    this.detail = details.detail
    this.problems = details.problems
    this.retryAfterSeconds = details.retryAfterSeconds
  }

  /** @internal */
  get [isGatepass](): true {
    return true
  }

  /** The HTTP status of the code. */
  get status(): number {
    return errorCodes[this.code].status
  }
}

/** Tells whether a value is a `GatepassError`, with one of the codes if any are given. */
export function isGatepassError<Code extends ErrorCode>(
  error: unknown,
  ...codes: Code[]
): error is GatepassError & { readonly code: Code } {
  if (!(Object(error) as { [isGatepass]?: unknown })[isGatepass]) return false
  const { code } = error as GatepassError
  return codes.length === 0 || codes.some((one) => one === code)
}

/** Returns a `GatepassError` unchanged. Any other thrown value becomes the cause of an `internal_error`. */
export function asGatepassError(thrown: unknown): GatepassError {
  return isGatepassError(thrown) ? thrown : new GatepassError('internal_error', { cause: thrown })
}

/** The media type of an error response (RFC 9457 §3). */
export const problemType = 'application/problem+json'

/** The body of an error response (RFC 9457). */
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
  /** Whether `token_claims` lists the wrong claims. Default: false, for production. */
  readonly namesClaims?: boolean
}

/** Returns the response body of an error. Errors of the service itself reveal no detail. */
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
