import { createHmac, createSecretKey, type KeyObject } from 'node:crypto'
import { equalBytes } from '../../core/secrets.ts'

/**
 * What a signature covers, by Standard Webhooks 1.0.0: the body, and the message that it belongs to.
 * Neither the id nor the timestamp has a dot in it, so that they can't be read in two ways.
 */
export interface Message {
  readonly id: string
  /** Seconds since 1970, in digits. */
  readonly timestamp: string
  readonly body: string | Uint8Array
}

/** How a secret is written (`whsec_` and base64), so that libraries and secret scanners know it. */
const secretPrefix = 'whsec_'

/** The scheme of a signature: HMAC-SHA-256. */
const version = 'v1'

/** The key that a secret stands for; the settings have checked its form. */
export function keyOfSecret(secret: string): KeyObject {
  return createSecretKey(secret.slice(secretPrefix.length), 'base64')
}

/** The `webhook-signature` of a message: one signature a key, separated by spaces. */
export function signatures(message: Message, keys: readonly KeyObject[]): string {
  return keys.map((key) => `${version},${macOf(message, key)}`).join(' ')
}

/** Whether one of the signatures in a `webhook-signature` is by one of the keys. */
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
