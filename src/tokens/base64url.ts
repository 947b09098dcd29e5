/**
 * Decodes base64url (RFC 4648 §5) in its canonical form: that alphabet, no padding, no white space,
 * unused bits zero. Returns null for any other text, so that no two texts decode to the same bytes.
 */
export function decodeBase64url(text: string): Buffer | null {
  const isAscii = Buffer.byteLength(text) === text.length
  // Buffer also accepts the two characters of plain base64.
  if (!isAscii || text.includes('+') || text.includes('/')) return null
  const bytes = Buffer.from(text, 'base64url')
  return isCanonical(text, bytes) ? bytes : null
}

/** Returns how many characters without padding (RFC 7515 §2) encode this many bytes. */
export function base64urlLength(bytes: number): number {
  return Math.ceil((bytes * 4) / 3)
}

/** The allowed last characters by the length modulo 4, indexed by their significant bits. */
const lastCharacters = ['', '', 'AQgw', 'AEIMQUYcgkosw048'] as const

function isCanonical(text: string, bytes: Buffer): boolean {
  // Buffer skips what it cannot decode.
  if (bytes.length !== Math.floor((text.length * 3) / 4)) return false
  const remainder = text.length % 4
  if (remainder === 0) return true
  const last = lastCharacters[remainder] ?? ''
  const bits = (bytes.at(-1) ?? 0) & (last.length - 1)
  return text.charCodeAt(text.length - 1) === last.charCodeAt(bits)
}
