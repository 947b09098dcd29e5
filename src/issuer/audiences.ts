import { GatepassError } from '../core/errors.ts'
import type { EncryptionKey } from '../tokens/encryption-key.ts'

/** The audiences whose tokens are encrypted, and for which key. */
export type AudienceKeys = ReadonlyMap<string, EncryptionKey>

/**
 * The key to encrypt a token for its audience with; null if the audience has none.
 *
 * @throws `config_invalid` for several audiences of which one has a key: an encrypted token has one
 *   reader. The settings refuse it too; but a token that must be encrypted never leaves in the clear.
 */
export function encryptionKeyFor(
  aud: string | readonly string[],
  keys: AudienceKeys,
): EncryptionKey | null {
  const audiences = [aud].flat()
  const [key, ...others] = audiences.map((audience) => keys.get(audience) ?? null)
  if (others.length === 0) return key ?? null
  if (key || others.some((other) => other !== null)) {
    const detail = 'A token for several audiences cannot be encrypted for one of them.'
    throw new GatepassError('config_invalid', { detail })
  }
  return null
}
