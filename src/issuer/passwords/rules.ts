import { GatepassError } from '../../core/errors.ts'

export const passwordBytesMin = 8
export const passwordBytesMax = 1024

/**
 * Whether a password may be chosen: 8 to 1,024 bytes in UTF-8, of any characters.
 *
 * A password is the bytes that were typed. It is neither trimmed nor normalised: imported hashes
 * were made of the bytes as typed, and a second attempt with a normalised form would take twice the
 * time for some names, which tells them from unknown ones.
 *
 * @throws `password_invalid`
 */
export function checkPassword(password: string): void {
  if (!password.isWellFormed()) {
    throw new GatepassError('password_invalid', { detail: 'The password is not valid Unicode.' })
  }
  const bytes = Buffer.byteLength(password)
  if (bytes < passwordBytesMin || bytes > passwordBytesMax) {
    throw new GatepassError('password_invalid', {
      detail: `The password must have ${passwordBytesMin} to ${passwordBytesMax} bytes.`,
    })
  }
}
