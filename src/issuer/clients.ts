import { GatepassError } from '../core/errors.ts'
import type { JsonValue } from '../core/json.ts'
import type { Account } from '../stores/ports.ts'

/** A front end that users sign in with, and what its tokens may hold. */
export interface Client {
  readonly client_id: string
  /** The `aud` of its tokens; without it that of the service. */
  readonly audience?: string | string[] | undefined
  /** The scopes it may ask for, each with the account attributes that it turns into claims. */
  readonly scopes: Readonly<Record<string, readonly string[]>>
  /** What it gets when it asks for none; without it, all its scopes. */
  readonly default_scope?: string | undefined
  /** Whether its tokens must be bound to a key (RFC 9449); without it they may. */
  readonly dpop?: 'optional' | 'required' | undefined
}

/** The configured clients. The first one serves a login that names none. */
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

  /** The client of a session, or undefined when it was taken out of the configuration since. */
  find(clientId: string): Client | undefined {
    return this.#byId.get(clientId)
  }

  /** Every scope that any client may ask for (RFC 8414 `scopes_supported`). */
  scopesSupported(): string[] {
    const all = [...this.#byId.values()].flatMap((client) => Object.keys(client.scopes))
    return [...new Set(all)].sort()
  }
}

/**
 * The scope that a login gets (RFC 6749 §3.3): what it asked for, each once, or the client's default.
 *
 * @throws `scope_not_allowed` naming the scopes that the client may not ask for
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
 * @param jkt the key that a client has shown possession of
 * @throws `dpop_proof_missing` when it has to and has not
 */
export function requireKey(client: Client | undefined, jkt: string | undefined): void {
  if (client?.dpop === 'required' && jkt === undefined) {
    throw new GatepassError('dpop_proof_missing')
  }
}

/** The names of the attributes that a scope turns into claims. */
export function claimNames(client: Client, scope: string): string[] {
  return [...new Set(scope.split(' ').flatMap((name) => client.scopes[name] ?? []))]
}

/** The claims that an account has of these names. */
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
