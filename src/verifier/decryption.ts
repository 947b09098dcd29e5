import { type FieldProblem, GatepassError } from '../core/errors.ts'
import { decryptToken, parseEncrypted } from '../tokens/encrypted-token.ts'
import { type DecryptionKey, importDecryptionKey } from '../tokens/encryption-key.ts'

/** As many as a change of keys can need. */
const maxKeys = 16

export interface DecryptionOptions {
  /**
   * The private keys that open encrypted tokens: JWKs (RFC 7517) with a `kid`, on P-256 or X25519.
   * Several, while a new one takes the place of an old one.
   */
  readonly decryptionKeys?: readonly object[]
  /**
   * Whether a token must be encrypted, where there are keys for it. Default `required`; `optional`
   * takes those that are only signed as well, as long as the issuer is being changed over.
   */
  readonly encryptedTokens?: 'required' | 'optional'
}

/** From what was presented to the signed token: itself, or what is encrypted in it. */
export type Unwrap = (presented: string) => string

/** Leaves a token as it is: one that is encrypted has too many parts to pass for a signed one. */
const asPresented: Unwrap = (presented) => presented

/**
 * Makes what opens encrypted tokens (RFC 7519 §5.2), one level deep. What is inside is as little
 * believed as any token.
 *
 * @param problems what is wrong with the options joins these; a reason tells no value of a key
 */
export function readUnwrap(
  options: DecryptionOptions,
  maxTokenBytes: number,
  problems: FieldProblem[],
): Unwrap {
  const { decryptionKeys, encryptedTokens } = options
  if (encryptedTokens !== undefined) {
    const detail = findDemandProblem(options)
    if (detail !== null) problems.push({ pointer: '/encryptedTokens', detail })
  }
  if (decryptionKeys === undefined) return asPresented
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

function findDemandProblem({ decryptionKeys, encryptedTokens }: DecryptionOptions): string | null {
  if (encryptedTokens !== 'required' && encryptedTokens !== 'optional') {
    return 'it must be required or optional'
  }
  return decryptionKeys === undefined ? 'it takes decryptionKeys' : null
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

/** Whether a text has more parts than a signed token. One that is too long is left to who reads it. */
function isEncrypted(presented: string, maxTokenBytes: number): boolean {
  if (typeof presented !== 'string' || presented.length > maxTokenBytes) return false
  const signedParts = 3
  return presented.split('.', signedParts + 1).length > signedParts
}
