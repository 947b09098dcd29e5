import { createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'

/** A message as it came: by Standard Webhooks 1.0.0 the signature covers all three. */
export interface Message {
  readonly id: string
  /** Seconds since 1970. */
  readonly timestamp: string
  readonly body: Buffer
}

/** How far the clock of the sender may be off. */
export const tolerance_s = 300

export function messageOf(headers: IncomingHttpHeaders, body: Buffer): Message {
  const id = String(headers['webhook-id'] ?? '')
  const timestamp = String(headers['webhook-timestamp'] ?? '')
  return { id, timestamp, body }
}

/**
 * The secret that a message is signed with, if it is one of ours and the message was sent just now.
 * While the secrets are changed, the sender may sign with the old one and the new one.
 */
export function secretOf(
  message: Message,
  signatures: string,
  secrets: readonly string[],
  nowMs: number,
): string | undefined {
  // A dot in the id, or a timestamp that is none, would let one signature fit two messages.
  if (!/^[\w-]{1,64}$/.test(message.id) || !/^\d{1,12}$/.test(message.timestamp)) return undefined
  if (Math.abs(nowMs / 1000 - Number(message.timestamp)) > tolerance_s) return undefined
  const given = signatures.split(' ')
  return secrets.find((secret) => {
    const expected = sign(message, secret)
    return given.some((one) => isEqual(one, expected))
  })
}

/** One signature, as it is in `webhook-signature`. */
export function sign({ id, timestamp, body }: Message, secret: string): string {
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64')
  const mac = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body)
  return `v1,${mac.digest('base64')}`
}

/** In a time that does not tell how many of the characters are right. */
function isEqual(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}
