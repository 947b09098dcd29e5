import { isGatepassError } from '../core/errors.ts'
import { networksOf } from '../core/networks.ts'
import type { Audit } from '../issuer/audit.ts'
import { type Client, type Clients, isConfidential } from '../issuer/clients.ts'
import type { LoginThrottle } from '../issuer/throttle/login-throttle.ts'
import {
  type ClientAssertionOptions,
  clientOfAssertion,
  verifyClientAssertion,
} from './client-assertion.ts'
import { authenticationFailed, type ClientCredentials } from './client-credentials.ts'
import { matchesSecretHash } from './client-secret.ts'

export interface ClientAuthenticationOptions {
  readonly clients: Clients
  readonly assertions: ClientAssertionOptions
  /** Counts failures, apart from those of logins. */
  readonly throttle: Pick<LoginThrottle, 'run'>
}

/** A request with which a client authenticates. */
export interface ClientRequest {
  /** The IP address that the request comes from. */
  readonly address: string
  readonly audit: Audit
}

/** Authenticates clients by the one method that their settings name (RFC 6749 §2.3). */
export class ClientAuthentication {
  readonly #options: ClientAuthenticationOptions

  constructor(options: ClientAuthenticationOptions) {
    this.#options = options
  }

  /**
   * Authenticates a client. A success uses no store, except for the `jti` of an assertion. Failures
   * are counted, and after a few failures the next one is answered with `too_many_attempts`. A
   * correct secret is always accepted: it has 256 random bits, so it cannot be guessed.
   *
   * @throws `client_authentication_failed`, alike for every reason; `too_many_attempts`;
   *   `keys_unavailable`, `store_unavailable`, `overloaded`
   */
  async authenticate(credentials: ClientCredentials, request: ClientRequest): Promise<Client> {
    const clientId = nameOf(credentials)
    const client = this.#options.clients.find(clientId)
    try {
      return await this.#check(credentials, client)
    } catch (error) {
      if (!isGatepassError(error, 'client_authentication_failed')) throw error
      // A request without a secret is not a guess.
      if (credentials.method === 'none') throw error
      const { address, audit } = request
      const attempter = { name: clientId, address, deviceToken: undefined }
      return this.#options.throttle.run(attempter, async () => {
        const who = client && { client_id: client.client_id }
        audit('client.refused', { ...who, network: networksOf(address).narrow })
        throw error
      })
    }
  }

  async #check(credentials: ClientCredentials, client: Client | undefined): Promise<Client> {
    const isMethod = credentials.method === (client?.auth_method ?? 'none')
    if (credentials.method === 'none' || credentials.method === 'private_key_jwt') {
      if (client === undefined || !isMethod) throw authenticationFailed('its method or client_id')
      if (credentials.method === 'private_key_jwt') {
        await verifyClientAssertion(credentials.assertion, client, this.#options.assertions)
      }
      return client
    }
    // An unknown client, or a client with another method, costs as much time as a wrong secret.
    const isSecret = matchesSecretHash(
      credentials.secret,
      isMethod ? client?.secret_hashes : undefined,
    )
    if (client === undefined || !isSecret) throw authenticationFailed('its method or secret')
    return client
  }
}

function nameOf(credentials: ClientCredentials): string {
  if (credentials.method !== 'private_key_jwt') return credentials.clientId
  const named = clientOfAssertion(credentials.assertion)
  if (credentials.clientId !== undefined && credentials.clientId !== named) {
    throw authenticationFailed('its client_id does not match')
  }
  return named
}

/** @throws `client_authentication_failed` for a public client */
export function requireConfidential(client: Client): void {
  if (!isConfidential(client)) throw authenticationFailed('it is a public client')
}
