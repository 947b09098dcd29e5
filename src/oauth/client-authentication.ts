import { isGatepassError } from '../core/errors.ts'
import { networksOf } from '../core/networks.ts'
import type { Audit } from '../issuer/audit.ts'
import type { Client, Clients } from '../issuer/clients.ts'
import type { LoginThrottle } from '../issuer/login-throttle.ts'
import {
  type ClientAssertion,
  type ClientAssertionOptions,
  parseClientAssertion,
  verifyClientAssertion,
} from './client-assertion.ts'
import { matchesSecretHash } from './client-secret.ts'
import { type Form, malformed } from './form.ts'
import { authenticationFailed } from './oauth-error.ts'

/** The unverified credentials of a client (RFC 6749 §2.3, RFC 7523 §2.2). */
export type ClientCredentials =
  | { readonly method: 'none'; readonly clientId: string }
  | {
      readonly method: 'client_secret_basic' | 'client_secret_post'
      readonly clientId: string
      readonly secret: string
    }
  | {
      readonly method: 'private_key_jwt'
      readonly clientId: string
      readonly assertion: ClientAssertion
    }

const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

/**
 * Reads the credentials of a client from a request.
 *
 * @param authorization the `Authorization` header
 * @throws `client_authentication_failed` if there are no credentials, or they are malformed;
 *   `request_malformed` for two kinds of credentials, because a client uses one method (RFC 6749
 *   §2.3)
 */
export function readClientCredentials(
  authorization: string | undefined,
  form: Form,
): ClientCredentials {
  const clientId = form.client_id
  const secret = form.client_secret
  const assertion = form.client_assertion
  const methods = [authorization, secret, assertion].filter((value) => value !== undefined)
  if (methods.length > 1) throw malformed('A client authenticates by one method.')
  if (authorization !== undefined) return ofClient(clientId, readBasic(authorization))
  if (assertion !== undefined) {
    return ofClient(clientId, readAssertion(assertion, form.client_assertion_type))
  }
  if (clientId === undefined) throw authenticationFailed('it sent no client_id')
  if (secret !== undefined) return { method: 'client_secret_post', clientId, secret }
  return { method: 'none', clientId }
}

/** Credentials that name their client need no `client_id` beside them. */
function ofClient(clientId: string | undefined, credentials: ClientCredentials): ClientCredentials {
  if (clientId === undefined || clientId === credentials.clientId) return credentials
  throw authenticationFailed('its client_id does not match')
}

/**
 * HTTP Basic (RFC 7617), with both parts in form encoding. An empty secret counts as none (RFC 6749
 * §2.3.1): some libraries send it for every public client.
 */
function readBasic(authorization: string): ClientCredentials {
  const encoded = /^basic +([\w+/-]+={0,2})$/i.exec(authorization)?.[1]
  const text = encoded === undefined ? '' : Buffer.from(encoded, 'base64').toString()
  const colon = text.indexOf(':')
  if (colon < 1) throw authenticationFailed('its Authorization is not an acceptable Basic')
  const [clientId, secret] = [text.slice(0, colon), text.slice(colon + 1)].map(decodeFormText)
  if (!clientId || secret === undefined) throw authenticationFailed('its id or secret is malformed')
  if (secret === '') return { method: 'none', clientId }
  return { method: 'client_secret_basic', clientId, secret }
}

/** RFC 7523 §2.2. */
function readAssertion(text: string, type: string | undefined): ClientCredentials {
  if (type !== assertionType) throw authenticationFailed('its client_assertion_type is wrong')
  const assertion = parseClientAssertion(text)
  return { method: 'private_key_jwt', clientId: assertion.clientId, assertion }
}

function decodeFormText(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return undefined
  }
}

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
    const { clientId } = credentials
    const client = this.#options.clients.find(clientId)
    try {
      return await this.#check(credentials, client)
    } catch (error) {
      if (!isGatepassError(error, 'client_authentication_failed')) throw error
      // A request without a secret is not a guess.
      if (credentials.method === 'none') throw error
      const { address, audit } = request
      const attempter = { name: clientId, address, deviceToken: undefined }
      await this.#options.throttle.run(
        attempter,
        async () => null,
        () => false,
      )
      const who = client && { client_id: client.client_id }
      audit('client.refused', { ...who, network: networksOf(address).narrow })
      throw error
    }
  }

  async #check(credentials: ClientCredentials, client: Client | undefined): Promise<Client> {
    const isMethod = credentials.method === (client?.auth_method ?? 'none')
    if (credentials.method === 'none' || credentials.method === 'private_key_jwt') {
      if (client === undefined || !isMethod)
        throw authenticationFailed('its client_id or method is wrong')
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
    if (client === undefined || !isSecret)
      throw authenticationFailed('its secret or method is wrong')
    return client
  }
}
