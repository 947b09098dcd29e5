/**
 * Reads base64url (RFC 4648 §5) in its one canonical form: that alphabet, no padding, no white
 * space, unused bits zero. Null for any other text, so that no two texts stand for the same bytes.
 */
export function decodeBase64url(text: string): Buffer | null {
  // Buffer skips what it cannot read. The canonical text is the one it would write itself.
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? bytes : null
}

/** How many characters without padding (RFC 7515 §2) hold so many bytes. */
export function base64urlLength(bytes: number): number {
  return Math.ceil((bytes * 4) / 3)
}
