import { GatepassError, isGatepassError } from '../core/errors.ts'
import {
  type Client,
  type Clients,
  grantScope,
  openidScope,
  requireGrant,
} from '../issuer/clients.ts'
import type { TokenMinter } from '../issuer/token-minter.ts'
import {
  type Form,
  formatForm,
  malformed,
  type ReceivedParameters,
  readParameters,
  refuseRepeated,
  severalAudiences,
} from './form.ts'
import { NamedRefusal, toOAuthError } from './oauth-error.ts'

/** The supported values of `prompt` (OpenID Connect Core §3.1.2.1). */
export const prompts = ['none', 'login', 'consent', 'select_account'] as const
export type Prompt = (typeof prompts)[number]

/** Maximum size as JSON. Encrypted, they fit into an address of 8 KiB, as most proxies accept it. */
const maxParameterBytes = 5_500
/** Longest nonce. It goes into the ID token. */
const maxNonceLength = 512
const maxLoginHintLength = 254
/** A SHA-256 digest in base64url (RFC 7636 §4.2, RFC 7638). */
const digestPattern = /^[\w-]{43}$/

/** An authorization request that is acceptable (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.1). */
export interface AuthorizationRequest {
  readonly client: Client
  readonly redirectUri: string
  readonly state: string | undefined
  readonly scope: string
  /** The challenge of PKCE by S256 (RFC 7636). */
  readonly codeChallenge: string
  readonly nonce: string | undefined
  /** The requested audience (RFC 8707). */
  readonly resource: string | undefined
  readonly prompts: ReadonlySet<Prompt>
  /** How long ago the user may have signed in. */
  readonly maxAgeSeconds: number | undefined
  readonly loginHint: string | undefined
  /** An ID token of the expected user. */
  readonly idTokenHint: string | undefined
  /** Languages that the client prefers, best first (BCP 47). */
  readonly uiLocales: string | undefined
  /** The key that the code is bound to (RFC 9449 §10). */
  readonly jkt: string | undefined
}

/** A request that is not acceptable. */
export interface RefusedRequest {
  /** The redirect that reports the error to the client. */
  readonly url: string
  /** The error, for the log. */
  readonly cause: GatepassError
}

/**
 * Reads the parameters of an address that a browser opens.
 *
 * @throws `request_malformed` if there are too many parameters, they are too long, or there is a
 *   `client_secret`
 */
export function readQuery(query: string): ReceivedParameters {
  const received = readParameters(query)
  limitLength(received.values)
  // A secret in an address ends up in histories and logs.
  if ('client_secret' in received.values) throw malformed('Send no client_secret to this address.')
  return received
}

/** @throws `request_malformed` */
export function limitLength(values: Form): void {
  if (Buffer.byteLength(JSON.stringify(values)) <= maxParameterBytes) return
  throw malformed('The parameters are too long.')
}

/** The issuer, and the clients and audiences that a request may name. */
export interface RequestRules {
  /** The public address of the issuer, its `iss`. */
  readonly issuer: string
  readonly clients: Pick<Clients, 'get'>
  readonly minter: Pick<TokenMinter, 'audienceOf'>
}

/**
 * Validates an authorization request. If the redirect URI is not registered for the client, throws
 * an error for a page instead of redirecting the browser there.
 *
 * @returns the request, or the redirect that reports an error to the client
 * @throws `client_unknown`, `grant_not_allowed`, `redirect_uri_not_allowed`, `request_malformed`
 */
export function validateRequest(
  { values, repeated }: ReceivedParameters,
  rules: RequestRules,
): AuthorizationRequest | RefusedRequest {
  for (const name of ['client_id', 'redirect_uri']) {
    if (repeated.has(name)) throw malformed(`The parameter ${name} comes twice.`)
  }
  const client = rules.clients.get(values.client_id ?? '')
  requireGrant(client, 'authorization_code')
  const redirectUri = values.redirect_uri
  if (redirectUri === undefined || !isRegistered(redirectUri, client.redirect_uris)) {
    throw new GatepassError('redirect_uri_not_allowed')
  }
  const state = repeated.has('state') ? undefined : values.state
  try {
    if (repeated.has('resource')) throw severalAudiences()
    refuseRepeated(repeated)
    return { client, redirectUri, state, ...validateOthers(values, client, rules) }
  } catch (error) {
    return refused({ redirectUri, state }, rules.issuer, error)
  }
}

/**
 * Refuses a request by a redirect to its client (RFC 6749 §4.1.2.1). `iss` identifies the issuer (RFC 9207).
 * Throws an error that is not ours.
 */
export function refused(
  { redirectUri, state }: Pick<AuthorizationRequest, 'redirectUri' | 'state'>,
  issuer: string,
  cause: unknown,
): RefusedRequest {
  if (!isGatepassError(cause)) throw cause
  const { body } = toOAuthError(cause)
  return { url: withParameters(redirectUri, { ...body, state, iss: issuer }), cause }
}

function validateOthers(values: Form, client: Client, rules: RequestRules) {
  refuseUnsupported(values)
  // Throws for an audience that the client may not ask for.
  rules.minter.audienceOf(client, values.resource)
  return {
    scope: scopeOf(values, client),
    codeChallenge: requireCodeChallenge(values),
    nonce: nonceOf(values),
    resource: values.resource,
    prompts: promptsOf(values),
    maxAgeSeconds: maxAgeOf(values),
    loginHint: values.login_hint?.slice(0, maxLoginHintLength),
    idTokenHint: values.id_token_hint,
    uiLocales: values.ui_locales,
    jkt: jktOf(values),
  }
}

function refuseUnsupported(values: Form): void {
  if (values.response_type === undefined)
    throw malformed('The parameter response_type is required.')
  if (values.response_type !== 'code') {
    throw new NamedRefusal('unsupported_response_type', 'The response_type must be code.')
  }
  if (values.response_mode !== undefined && values.response_mode !== 'query') {
    throw malformed('The response_mode must be query.')
  }
  // OpenID Connect Core §3.1.2.6.
  for (const [name, error] of [
    ['request', 'request_not_supported'],
    ['request_uri', 'request_uri_not_supported'],
    ['registration', 'registration_not_supported'],
  ] as const) {
    if (name in values) throw new NamedRefusal(error, `The parameter ${name} is not supported.`)
  }
}

/** A request may name `openid` beside the scopes of its client. */
function scopeOf({ scope }: Form, client: Client): string {
  if (scope === undefined) return grantScope(client, undefined)
  return grantScope({ ...client, scopes: { ...client.scopes, [openidScope]: [] } }, scope)
}

/**
 * RFC 7636 §4.3. The default method is `plain`, which does not protect against an attacker who
 * reads the request.
 */
function requireCodeChallenge(values: Form): string {
  const { code_challenge: challenge = '', code_challenge_method: method } = values
  if (method !== 'S256' || !digestPattern.test(challenge)) {
    throw malformed('PKCE is required: a code_challenge with the code_challenge_method S256.')
  }
  return challenge
}

function nonceOf({ nonce }: Form): string | undefined {
  if (nonce !== undefined && nonce.length > maxNonceLength)
    throw malformed('The nonce is too long.')
  return nonce
}

function promptsOf({ prompt = '' }: Form): ReadonlySet<Prompt> {
  const names = prompt.split(' ').filter((name) => name !== '')
  const known = names.filter((name): name is Prompt => prompts.some((one) => one === name))
  if (known.length < names.length) throw malformed('The prompt is not supported.')
  const asked = new Set(known)
  if (asked.has('none') && asked.size > 1) throw malformed('The prompt none stands alone.')
  return asked
}

function maxAgeOf({ max_age: maxAge }: Form): number | undefined {
  if (maxAge === undefined) return undefined
  if (!/^\d{1,10}$/.test(maxAge)) throw malformed('The max_age must be a number of seconds.')
  return Number(maxAge)
}

function jktOf({ dpop_jkt: jkt }: Form): string | undefined {
  if (jkt !== undefined && !digestPattern.test(jkt)) {
    throw malformed('The dpop_jkt must be the thumbprint of a key.')
  }
  return jkt
}

/** `http` on this machine: the host, the port if there is one, and everything after it. */
const loopbackPattern = /^http:\/\/(127\.0\.0\.1|\[::1\]|localhost)(?::(\d{1,5}))?(|[/?][^#\s\\]*)$/

/**
 * Returns whether a client has registered a redirect URI. URIs are compared as texts (RFC 9700
 * §4.1.3), so no two spellings of one address are the same. On the loopback interface the port is
 * free (RFC 8252 §7.3), because an app takes whichever port it gets.
 */
export function isRegistered(uri: string, registered: readonly string[] = []): boolean {
  if (registered.includes(uri)) return true
  const requested = loopbackParts(uri)
  return (
    requested !== null &&
    registered.some((one) => {
      const parts = loopbackParts(one)
      return parts !== null && parts.host === requested.host && parts.rest === requested.rest
    })
  )
}

function loopbackParts(uri: string): { readonly host: string; readonly rest: string } | null {
  const [, host, port = '80', rest] = loopbackPattern.exec(uri) ?? []
  if (host === undefined || rest === undefined) return null
  const isPort = Number(port) >= 1 && Number(port) <= 65_535
  return isPort ? { host, rest } : null
}

/** Appends parameters to the query of a redirect URI, which has no fragment. */
export function withParameters(
  uri: string,
  parameters: Readonly<Record<string, string | undefined>>,
): string {
  const query = formatForm(parameters)
  if (query === '') return uri
  return `${uri}${uri.includes('?') ? '&' : '?'}${query}`
}
