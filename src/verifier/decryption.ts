import { type FieldProblem, GatepassError } from '../core/errors.ts'
import { decryptToken, parseEncrypted } from '../tokens/encrypted-token.ts'
import { type DecryptionKey, importDecryptionKey } from '../tokens/encryption-key.ts'

/** No change of keys needs as many keys. */
const maxKeys = 16

export interface DecryptionOptions {
  /**
   * Private keys that decrypt encrypted tokens: JWKs (RFC 7517) with a `kid`, on P-256 or X25519.
   * Several keys overlap while a new key replaces an old one.
   */
  readonly decryptionKeys?: readonly object[]
  /**
   * Whether tokens must be encrypted if there are decryption keys. Default `required`; `optional` also
   * accepts tokens that are only signed, while the issuer starts or stops encrypting.
   */
  readonly encryptedTokens?: 'required' | 'optional'
}

/** Returns the signed token: the presented token itself, or the token encrypted in it. */
export type Decrypt = (presented: string) => string

/**
 * Reads the decryption options. Decrypts one level of encryption (RFC 7519 §5.2). The signed token
 * in it is verified like any other token.
 *
 * @param problems receives the problems of the options; no problem quotes a value of a key
 */
export function readDecrypt(
  options: DecryptionOptions,
  maxTokenBytes: number,
  problems: FieldProblem[],
): Decrypt {
  const { decryptionKeys, encryptedTokens } = options
  const detail = findModeProblem(options)
  if (detail !== null) problems.push({ pointer: '/encryptedTokens', detail })
  // Without keys, an encrypted token has too many parts for a signed one.
  if (decryptionKeys === undefined) return (presented) => presented
  const keys = readKeys(decryptionKeys, problems)
  return (presented) => {
    const isPlain = encryptedTokens === 'optional' && !isEncrypted(presented, maxTokenBytes)
    if (isPlain) return presented
    const token = parseEncrypted(presented, maxTokenBytes)
    const key = keys.get(token.kid)
    if (key === undefined) throw new GatepassError('token_key_unknown')
    return decryptToken(token, key)
  }
}

function findModeProblem({ decryptionKeys, encryptedTokens }: DecryptionOptions): string | null {
  if (encryptedTokens === undefined) return null
  if (encryptedTokens !== 'required' && encryptedTokens !== 'optional') {
    return 'it must be required or optional'
  }
  return decryptionKeys === undefined ? 'it requires decryptionKeys' : null
}

function readKeys(jwks: unknown, problems: FieldProblem[]): ReadonlyMap<string, DecryptionKey> {
  const keys = new Map<string, DecryptionKey>()
  if (!Array.isArray(jwks) || jwks.length === 0 || jwks.length > maxKeys) {
    const detail = `it must be an array of 1 to ${maxKeys} private keys`
    problems.push({ pointer: '/decryptionKeys', detail })
    return keys
  }
  for (const [at, jwk] of jwks.entries()) {
    const imported = importDecryptionKey(jwk)
    const pointer = `/decryptionKeys/${at}`
    if (!imported.ok) problems.push({ pointer, detail: imported.reason })
    else if (keys.has(imported.key.kid)) problems.push({ pointer, detail: 'its kid is used twice' })
    else keys.set(imported.key.kid, imported.key)
  }
  return keys
}

/** Tells whether a text has more parts than a signed token. The parser rejects a text that is too long. */
export function isEncrypted(presented: string, maxTokenBytes: number): boolean {
  if (typeof presented !== 'string' || presented.length > maxTokenBytes) return false
  const signedParts = 3
  return presented.split('.', signedParts + 1).length > signedParts
}
