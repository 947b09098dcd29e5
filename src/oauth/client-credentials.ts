import { GatepassError } from '../core/errors.ts'
import { type Form, malformed } from './form.ts'

/** The unverified credentials of a client (RFC 6749 §2.3, RFC 7523 §2.2). */
export type ClientCredentials =
  | { readonly method: 'none'; readonly clientId: string }
  | {
      readonly method: 'client_secret_basic' | 'client_secret_post'
      readonly clientId: string
      readonly secret: string
    }
  /** Without a `clientId` the assertion names the client. */
  | {
      readonly method: 'private_key_jwt'
      readonly clientId: string | undefined
      readonly assertion: string
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
  const clientId = form.get('client_id')
  const secret = form.get('client_secret')
  const assertion = form.get('client_assertion')
  const methods = [authorization, secret, assertion].filter((value) => value !== undefined)
  if (methods.length > 1) throw malformed('A client authenticates by one method.')
  if (authorization !== undefined) {
    const basic = readBasic(authorization)
    if (clientId !== undefined && clientId !== basic.clientId) throw authenticationFailed()
    return basic
  }
  if (assertion !== undefined) {
    if (form.get('client_assertion_type') !== assertionType) throw authenticationFailed()
    return { method: 'private_key_jwt', clientId, assertion }
  }
  if (clientId === undefined) throw authenticationFailed()
  if (secret !== undefined) return { method: 'client_secret_post', clientId, secret }
  return { method: 'none', clientId }
}

/** HTTP Basic (RFC 7617), with both parts in form encoding (RFC 6749 §2.3.1). */
function readBasic(authorization: string): ClientCredentials {
  const encoded = /^basic +([\w+/-]+={0,2})$/i.exec(authorization)?.[1]
  const text = encoded === undefined ? '' : Buffer.from(encoded, 'base64').toString()
  const colon = text.indexOf(':')
  if (colon < 1) throw authenticationFailed()
  const [clientId, secret] = [text.slice(0, colon), text.slice(colon + 1)].map(decodeFormText)
  if (!clientId || !secret) throw authenticationFailed()
  return { method: 'client_secret_basic', clientId, secret }
}

function decodeFormText(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return ''
  }
}

/**
 * One error for all reasons: an unknown client, a wrong secret, another method, a bad assertion.
 */
export function authenticationFailed(reason?: string): GatepassError {
  return new GatepassError(
    'client_authentication_failed',
    reason === undefined ? {} : { cause: new Error(`client authentication: ${reason}`) },
  )
}
