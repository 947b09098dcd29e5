import { createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

/** A received message. The signature of Standard Webhooks 1.0.0 covers all three fields. */
export interface Message {
  readonly id: string
  /** Seconds since 1970. */
  readonly timestamp: string
  readonly body: Buffer
}

/** Largest accepted clock difference to the sender. */
export const tolerance_s = 300

export function messageOf(headers: IncomingHttpHeaders, body: Buffer): Message {
  const id = String(headers['webhook-id'] ?? '')
  const timestamp = String(headers['webhook-timestamp'] ?? '')
  return { id, timestamp, body }
}

/**
 * Returns the secret that signed a message, or undefined if the signature or the time is invalid. During
 * a change of secrets, the sender signs with the old and the new secret.
 */
export function secretOf(
  message: Message,
  signatures: string,
  secrets: readonly string[],
  nowMs: number,
): string | undefined {
  // With a dot in the id or an invalid timestamp, two messages could have one signature.
  if (!/^[\w-]{1,64}$/.test(message.id) || !/^\d{1,12}$/.test(message.timestamp)) return undefined
  if (Math.abs(nowMs / 1000 - Number(message.timestamp)) > tolerance_s) return undefined
  const given = signatures.split(' ')
  return secrets.find((secret) => {
    const expected = sign(message, secret)
    return given.some((one) => isEqual(one, expected))
  })
}

/** Computes one signature in the form of `webhook-signature`. */
export function sign({ id, timestamp, body }: Message, secret: string): string {
  const mac = createHmac('sha256', keyOf(secret)).update(`${id}.${timestamp}.`).update(body)
  return `v1,${mac.digest('base64')}`
}

/** Whether a secret is `whsec_` and at least 24 bytes in base64. Anybody can sign with an empty one. */
export function isSecret(text: string): boolean {
  return text.startsWith('whsec_') && keyOf(text).length >= 24
}

function keyOf(secret: string): Buffer {
  return Buffer.from(secret.slice('whsec_'.length), 'base64')
}

/** Compares in constant time. */
function isEqual(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}
