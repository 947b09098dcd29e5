import { createHmac, createSecretKey, type KeyObject } from 'node:crypto'
import { equalBytes } from '../../core/secrets.ts'

/**
 * The signed content by Standard Webhooks 1.0.0. Neither id nor timestamp contains a dot, so that the
 * content has one reading only.
 */
export interface Message {
  readonly id: string
  /** Seconds since 1970, in digits. */
  readonly timestamp: string
  readonly body: string | Uint8Array
}

/** The prefix of a secret in base64, known to libraries and secret scanners. */
const secretPrefix = 'whsec_'

/** HMAC-SHA-256. */
const version = 'v1'

/** Returns the key of a secret, whose form the settings have checked. */
export function keyOfSecret(secret: string): KeyObject {
  return createSecretKey(secret.slice(secretPrefix.length), 'base64')
}

/** Returns the `webhook-signature` header: one signature per key, separated by spaces. */
export function signatures(message: Message, keys: readonly KeyObject[]): string {
  return keys.map((key) => `${version},${macOf(message, key)}`).join(' ')
}

/** Whether a `webhook-signature` header has a signature by one of the keys. */
export function isSigned(message: Message, signature: string, keys: readonly KeyObject[]): boolean {
  if (!/^\d{1,12}$/.test(message.timestamp)) return false
  const given = signature.split(' ').map((one) => Buffer.from(one))
  return keys.some((key) => {
    const expected = Buffer.from(signatures(message, [key]))
    return given.some((one) => equalBytes(one, expected))
  })
}

function macOf({ id, timestamp, body }: Message, key: KeyObject): string {
  return createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64')
}
