import type { HeldBytes } from './held-bytes.ts'

/**
 * Reads base64url (RFC 4648 §5) in its one canonical form: that alphabet, no padding, no white
 * space, unused bits zero. Null for any other text, so that no two texts stand for the same bytes.
 */
export function decodeBase64url(text: string): Buffer | null {
  const isAscii = Buffer.byteLength(text) === text.length
  if (!isAscii || hasBase64(text)) return null
  const bytes = Buffer.from(text, 'base64url')
  return isCanonical(text, bytes, bytes.length) ? bytes : null
}

/**
 * Whether a text is of that form; its bytes are held then.
 *
 * @param text ASCII, without base64
 */
export function holdBase64url(text: string, held: HeldBytes): boolean {
  held.hold(text)
  return isCanonical(text, held.room, held.length)
}

/** Whether there is a character that Buffer takes though it is not of base64url but of base64. */
export function hasBase64(text: string): boolean {
  return text.includes('+') || text.includes('/')
}

/** How many characters without padding (RFC 7515 §2) hold so many bytes. */
export function base64urlLength(bytes: number): number {
  return Math.ceil((bytes * 4) / 3)
}

/** By how many characters are left over: what the last one is, by those of its bits that count. */
const lastCharacters = ['', '', 'AQgw', 'AEIMQUYcgkosw048'] as const

/** @param length how many bytes Buffer made of the text: it skips what it cannot read */
function isCanonical(text: string, bytes: Buffer, length: number): boolean {
  if (length !== Math.floor((text.length * 3) / 4)) return false
  const leftOver = text.length % 4
  if (leftOver === 0) return true
  const last = lastCharacters[leftOver] ?? ''
  const bits = (bytes[length - 1] ?? 0) & (last.length - 1)
  return text.charCodeAt(text.length - 1) === last.charCodeAt(bits)
}
