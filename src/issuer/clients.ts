import { GatepassError } from '../core/errors.ts'
import type { JsonValue } from '../core/json.ts'
import type { Account } from '../stores/ports.ts'

/** An application that users sign in with (RFC 6749 §2), as it is configured. */
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
}

/** The configured clients. A login without `client_id` belongs to the first client. */
export class Clients {
  readonly #byId: ReadonlyMap<string, Client>
  readonly #first: Client

  constructor(clients: readonly [Client, ...Client[]]) {
    this.#first = clients[0]
    this.#byId = new Map(clients.map((client) => [client.client_id, client]))
  }

  /** @throws `client_unknown` */
  get(clientId: string | undefined): Client {
    const client = clientId === undefined ? this.#first : this.#byId.get(clientId)
    if (client === undefined) throw new GatepassError('client_unknown')
    return client
  }

  /** Returns the client of a session; undefined if the configuration does not contain it anymore. */
  find(clientId: string): Client | undefined {
    return this.#byId.get(clientId)
  }

  /** Returns every scope that a client may request (RFC 8414 `scopes_supported`). */
  scopesSupported(): string[] {
    const all = [...this.#byId.values()].flatMap((client) => Object.keys(client.scopes))
    return [...new Set(all)].sort()
  }
}

/**
 * Returns the scope of a login (RFC 6749 §3.3): the requested scopes, each once, or the default.
 *
 * @throws `scope_not_allowed` with the scopes that the client may not request
 */
export function grantScope(client: Client, requested: string | undefined): string {
  const wanted = requested ?? client.default_scope ?? Object.keys(client.scopes).join(' ')
  const scopes = [...new Set(wanted.split(' ').filter((scope) => scope !== ''))]
  const refused = scopes.filter((scope) => !Object.hasOwn(client.scopes, scope))
  if (refused.length > 0) {
    throw new GatepassError('scope_not_allowed', {
      detail: `The client may not ask for this scope: ${refused.join(' ')}.`,
    })
  }
  return scopes.join(' ')
}

/**
 * Checks that a client which must prove possession of a key has done so.
 *
 * @param jkt thumbprint of the proven key
 * @throws `dpop_proof_missing`
 */
export function requireKey(client: Client | undefined, jkt: string | undefined): void {
  if (client?.dpop === 'required' && jkt === undefined) {
    throw new GatepassError('dpop_proof_missing')
  }
}

/** Returns the names of the attributes that a scope turns into claims. */
export function claimNames(client: Client, scope: string): string[] {
  return [...new Set(scope.split(' ').flatMap((name) => client.scopes[name] ?? []))]
}

/** Returns the attributes of an account that have these names, as claims. */
export function attributeClaims(
  account: Account,
  names: readonly string[],
): Record<string, JsonValue> {
  const claims: Record<string, JsonValue> = {}
  for (const name of names) {
    const value = account.attributes[name]
    if (value !== undefined) claims[name] = value
  }
  return claims
}
