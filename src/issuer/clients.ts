import { GatepassError } from '../core/errors.ts'
import type { JsonValue } from '../core/json.ts'
import type { Account } from '../stores/ports.ts'

/** Asks for an ID token (OpenID Connect Core §3.1.2.1). Every client may ask for it. */
export const openidScope = 'openid'

/**
 * The `client_id` of the sessions that represent a sign-in at the issuer itself. No configured
 * client may have it.
 */
export const signInClientId = 'gatepass-sign-in'

export const tokenExchange = 'urn:ietf:params:oauth:grant-type:token-exchange'

/**
 * How a client may get tokens: the `grant_type` of RFC 6749 and RFC 8693. `password` stands for
 * `/login`.
 */
export const grantTypes = [
  'password',
  'refresh_token',
  'client_credentials',
  'authorization_code',
  tokenExchange,
] as const

export type GrantType = (typeof grantTypes)[number]

/** How a client authenticates: the `token_endpoint_auth_method` of RFC 7591 §2. */
export const authMethods = [
  'none',
  'client_secret_basic',
  'client_secret_post',
  'private_key_jwt',
] as const

export type AuthMethod = (typeof authMethods)[number]

/** An application that asks for tokens, and the possible content of its tokens. */
export interface Client {
  readonly client_id: string
  /** The `aud` of its tokens. Default: the audience of the issuer. */
  readonly audience?: string | string[] | undefined
  /** The scopes that it may request, each with the account attributes that become claims. */
  readonly scopes: Readonly<Record<string, readonly string[]>>
  /** The scope of a login that requests none. Default: all its scopes. */
  readonly default_scope?: string | undefined
  /** Whether its tokens must be bound to a key (RFC 9449). Default: `optional`. */
  readonly dpop?: 'optional' | 'required' | undefined
  /** How it may get tokens. Default: `password` and `refresh_token`. */
  readonly grants?: readonly GrantType[] | undefined
  /** How it authenticates. Default: `none`, a public client. */
  readonly auth_method?: AuthMethod | undefined
  /** The hashes of its secrets: two while a new secret replaces the old one. */
  readonly secret_hashes?: readonly string[] | undefined
  /** Its public keys for `private_key_jwt`: a JWK Set (RFC 7517 §5). */
  readonly jwks?: { readonly keys: readonly object[] } | undefined
  /** The address at which it publishes its public keys, instead of `jwks`. */
  readonly jwks_uri?: string | undefined
  /** The addresses to which an authorization response may go, compared exactly. */
  readonly redirect_uris?: readonly string[] | undefined
  /** The addresses to which a browser may go after a sign-out. */
  readonly post_logout_redirect_uris?: readonly string[] | undefined
  /** The audiences that it may exchange a user's token for (RFC 8693). */
  readonly exchange_audiences?: readonly string[] | undefined
  /**
   * The address at which it is notified that a session has ended (OpenID Connect Back-Channel
   * Logout).
   */
  readonly backchannel_logout_uri?: string | undefined
  /** The name that users read on the pages of the issuer (RFC 7591 §2). Default: `client_id`. */
  readonly client_name?: string | undefined
  /** Whether it belongs to a third party, so that its users are asked for consent. */
  readonly third_party?: boolean | undefined
  /** Whether it must push its authorization requests (RFC 9126 §6). Default: false. */
  readonly require_pushed_authorization_requests?: boolean | undefined
}

/**
 * The configured clients. A login without `client_id` belongs to the first client with the grant
 * `password`.
 */
export class Clients {
  #byId: ReadonlyMap<string, Client> = new Map()
  #default: Client | undefined
  #scopes: readonly string[] = []
  #attributes: readonly string[] = []
  #onReplaced = () => {}

  constructor(clients: readonly Client[]) {
    this.replace(clients)
  }

  /** Replaces all clients, for example when the settings are read again. */
  replace(clients: readonly Client[]): void {
    this.#default = clients.find((client) => mayUse(client, 'password'))
    this.#byId = new Map(clients.map((client) => [client.client_id, client]))
    const scopes = new Set(clients.flatMap((client) => Object.keys(client.scopes)))
    const attributes = new Set(clients.flatMap((client) => Object.values(client.scopes).flat()))
    this.#scopes = [...scopes.add(openidScope)].sort()
    this.#attributes = [...attributes].sort()
    this.#onReplaced()
  }

  /** Calls a listener after each replacement. There is one listener. */
  onReplaced(listener: () => void): void {
    this.#onReplaced = listener
  }

  /** @throws `client_unknown` */
  get(clientId: string | undefined): Client {
    const client = clientId === undefined ? this.#default : this.#byId.get(clientId)
    if (client !== undefined) return client
    const details = clientId === undefined ? { detail: 'No client has the grant password.' } : {}
    throw new GatepassError('client_unknown', details)
  }

  /** Returns the client of a session; undefined if it was removed from the configuration. */
  find(clientId: string): Client | undefined {
    return this.#byId.get(clientId)
  }

  thirdParties(): Client[] {
    return [...this.#byId.values()].filter((client) => client.third_party)
  }

  /** Whether a client is notified of the end of sessions. */
  hasBackchannelLogout(): boolean {
    return this.#byId.values().some((client) => client.backchannel_logout_uri !== undefined)
  }

  /** Every scope that a client may request (RFC 8414 `scopes_supported`). */
  get scopesSupported(): readonly string[] {
    return this.#scopes
  }

  /** Every attribute that a scope of a client turns into a claim. */
  get attributesSupported(): readonly string[] {
    return this.#attributes
  }
}

/** Whether a client may get tokens in this way. */
export function mayUse({ grants = ['password', 'refresh_token'] }: Client, grant: GrantType) {
  return grants.includes(grant)
}

/** @throws `grant_not_allowed` */
export function requireGrant(client: Client, grant: GrantType): void {
  if (!mayUse(client, grant)) throw new GatepassError('grant_not_allowed')
}

/** Whether a client must authenticate (RFC 6749 §2.1). */
export function isConfidential({ auth_method = 'none' }: Client): boolean {
  return auth_method !== 'none'
}

/** Returns the names in a scope (RFC 6749 §3.3), each once. */
export function scopeNames(scope: string): string[] {
  return [...new Set(scope.split(' ').filter((name) => name !== ''))]
}

/** @throws `scope_not_allowed` for spaces alone: a scope has a name (RFC 6749 §3.3) */
export function refuseBlankScope(requested = ''): void {
  if (/^ +$/.test(requested)) {
    throw new GatepassError('scope_not_allowed', { detail: 'The scope has no name.' })
  }
}

/**
 * Returns the scope of a login (RFC 6749 §3.3): the requested scopes, each once, or the default.
 *
 * @throws `scope_not_allowed` with the scopes that the client may not request
 */
export function grantScope(client: Client, requested: string | undefined): string {
  refuseBlankScope(requested)
  const wanted = requested ?? client.default_scope
  if (wanted === undefined) return Object.keys(client.scopes).join(' ')
  const scopes = scopeNames(wanted)
  const refused = scopes.filter((scope) => !Object.hasOwn(client.scopes, scope))
  if (refused.length > 0) {
    throw new GatepassError('scope_not_allowed', {
      detail: `The client may not ask for this scope: ${refused.join(' ')}.`,
    })
  }
  return scopes.join(' ')
}

/**
 * Returns the scopes of a session that its client may still request: the settings of the client may
 * have changed since.
 */
export function remainingScope(client: Client, scope: string): string {
  const isAllowed = (name: string) => name === openidScope || Object.hasOwn(client.scopes, name)
  return scope.split(' ').filter(isAllowed).join(' ')
}

/**
 * Checks that the request has proven possession of a key if the client requires it.
 *
 * @param jkt thumbprint of the proven key
 * @throws `dpop_proof_missing`
 */
export function requireKey(client: Client, jkt: string | undefined): void {
  if (lacksKey(client, jkt)) throw new GatepassError('dpop_proof_missing')
}

/** Whether a client requires a proven key, and the request has none. */
export function lacksKey({ dpop }: Client, jkt: string | undefined): boolean {
  return dpop === 'required' && jkt === undefined
}

/**
 * Returns the key that a session of a client is bound to. A client that authenticates is not bound
 * to a key, so it may replace its key (RFC 9449 §5).
 *
 * @param jkt thumbprint of the key that the client has proven
 */
export function sessionKey(client: Client, jkt: string | undefined): string | null {
  return isConfidential(client) ? null : (jkt ?? null)
}

/** Returns the names of the attributes that a scope turns into claims. */
export function claimNames(client: Client, scope: string): string[] {
  return scope.split(' ').flatMap((name) => client.scopes[name] ?? [])
}

/** Returns the attributes of an account that a scope turns into claims. */
export function attributeClaims(
  account: Account,
  client: Client,
  scope: string,
): Record<string, JsonValue> {
  const claims: Record<string, JsonValue> = {}
  for (const name of claimNames(client, scope)) {
    const value = account.attributes[name]
    if (value !== undefined) claims[name] = value
  }
  return claims
}
