import { type ErrorCode, errorCodes, GatepassError } from '../core/errors.ts'

/** The answer to a refused request (RFC 6749 §5.2). */
export interface OAuthError {
  readonly status: number
  readonly body: { readonly error: string; readonly error_description: string }
}

/** The OAuth `error` of our error codes: RFC 6749 §5.2, RFC 7009, RFC 8707, RFC 9101 §7, RFC 9449. */
const names: { readonly [code in ErrorCode]?: string } = {
  client_authentication_failed: 'invalid_client',
  client_unknown: 'invalid_client',
  grant_unsupported: 'unsupported_grant_type',
  grant_not_allowed: 'unauthorized_client',
  grant_invalid: 'invalid_grant',
  refresh_token_malformed: 'invalid_grant',
  refresh_token_unknown: 'invalid_grant',
  refresh_token_expired: 'invalid_grant',
  refresh_token_revoked: 'invalid_grant',
  refresh_token_reused: 'invalid_grant',
  scope_not_allowed: 'invalid_scope',
  resource_not_allowed: 'invalid_target',
  request_uri_invalid: 'invalid_request_uri',
  token_not_revocable: 'unsupported_token_type',
  dpop_proof_missing: 'invalid_dpop_proof',
  dpop_proof_invalid: 'invalid_dpop_proof',
  dpop_proof_replayed: 'invalid_dpop_proof',
  use_dpop_nonce: 'use_dpop_nonce',
  too_many_attempts: 'temporarily_unavailable',
}

/** A refused request whose OAuth `error` has no code of ours (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6). */
export class NamedRefusal extends GatepassError {
  readonly error: string

  constructor(error: string, detail: string) {
    super('request_malformed', { detail })
    this.error = error
  }
}

/** Statuses that are more specific than 400. */
const keptStatuses: ReadonlySet<number> = new Set([405, 413, 415, 429])

/** Converts one of our errors into an OAuth error. Of the request, it quotes refused scopes only. */
export function toOAuthError(error: GatepassError): OAuthError {
  const { code, status } = error
  const isFault = status >= 500
  const byStatus = status === 503 ? 'temporarily_unavailable' : 'server_error'
  const named = error instanceof NamedRefusal ? error.error : names[code]
  const name = named ?? (isFault ? byStatus : 'invalid_request')
  const isKept = isFault || keptStatuses.has(status) || name === 'invalid_client'
  return {
    status: isKept ? status : 400,
    body: { error: name, error_description: describe(error) },
  }
}

/**
 * Limits the text to the characters of RFC 6749 §5.2. The detail of an internal error is for the
 * log only.
 */
function describe({ code, status, message, problems = [] }: GatepassError): string {
  const fields = problems.map(({ pointer, detail }) => ` ${pointer}: ${detail}`).join('')
  const text = status >= 500 ? errorCodes[code].title : message + fields
  return text.replaceAll(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, '?')
}

/**
 * One error for all reasons: an unknown client, a wrong secret, another method, a bad assertion.
 *
 * @param reason for the log
 */
export function authenticationFailed(reason: string): GatepassError {
  return new GatepassError('client_authentication_failed', {
    cause: new Error(`client authentication: ${reason}`),
  })
}
