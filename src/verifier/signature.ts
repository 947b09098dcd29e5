import { createVerify, type KeyObject, verify } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { promisify } from 'node:util'
import { isKeyId, type SignedText, splitCompact } from '../tokens/access-token.ts'
import { type Algorithm, algorithms, isAlgorithm } from '../tokens/algorithms.ts'
import { derFromRaw } from '../tokens/ecdsa-signature.ts'
import { isJsonObject, parseStrictJson } from '../tokens/strict-decoding.ts'
import type { VerificationKey } from '../tokens/verification-key.ts'
import type { KeyLookup, KeySource } from './keys/key-source.ts'

const verifyInPool = promisify<string | null, Buffer, KeyObject, Buffer, boolean>(verify)

/** RSA verifies faster than a hand-over to the thread pool takes: see docs/verifier.md. */
const fastAlgorithms: ReadonlySet<Algorithm> = new Set(['RS256', 'PS256'])
const hasOneCore = availableParallelism() === 1

/** Verifies a signature: on the thread pool if that is faster, else synchronously. */
export function verifySignature(
  token: SignedText,
  key: VerificationKey,
): boolean | Promise<boolean> {
  if (hasOneCore || fastAlgorithms.has(key.alg)) return verifySignatureSync(token, key)
  if (!isSignatureFor(token, key)) return false
  return verifyInPool(algorithms[key.alg].digest, ...verifyArguments(token, key)).catch(() => false)
}

/** Verifies a signature on the caller's thread. */
export function verifySignatureSync(token: SignedText, key: VerificationKey): boolean {
  if (!isSignatureFor(token, key)) return false
  const [data, keyObject, signature] = verifyArguments(token, key)
  try {
    // Deno and workerd take the options of PS256 from a KeyObject in this class alone.
    if (key.alg === 'PS256') return createVerify('sha256').update(data).verify(keyObject, signature)
    return verify(algorithms[key.alg].digest, data, keyObject, signature)
  } catch {
    return false
  }
}

/** Compares algorithm and length, so that no other signature reaches the crypto library. */
function isSignatureFor({ signature, header }: SignedText, key: VerificationKey): boolean {
  return signature.length === key.signatureBytes && header.alg === key.alg
}

function verifyArguments(
  { signingInput, signature }: SignedText,
  { alg, key }: VerificationKey,
): [data: Buffer, key: KeyObject, signature: Buffer] {
  const encoded = alg === 'ES256' ? derFromRaw(signature) : signature
  return [Buffer.from(signingInput, 'latin1'), key, encoded]
}

/** Whose word counts. */
export interface SignerRules {
  /** The keys that tokens are checked with. */
  readonly keys: KeySource
  isKeyRevoked(kid: string): boolean
}

/**
 * The payload of a text that the issuer has signed as this kind (`typ`). Waits for newer keys if it
 * names one that is not known.
 *
 * @throws Error that quotes nothing of the text
 */
export async function openSigned(
  text: string,
  typ: string,
  bytesMax: number,
  { keys, isKeyRevoked }: SignerRules,
): Promise<Buffer> {
  const { token, payloadBytes } = parse(text, typ, bytesMax)
  const { kid, alg } = token.header
  if (isKeyRevoked(kid)) throw new Error('it is signed by a revoked key')
  let key = keys.find(kid, alg)
  if (key === 'token_key_unknown' || key === 'keys_unavailable') {
    // Not asked for by a stranger, and the feed is given up if this is of no use: once an attempt.
    await keys.refreshNow()
    key = keys.find(kid, alg)
  }
  if (typeof key === 'string') throw new Error(unfitKey(key))
  if (!(await verifySignature(token, key))) throw new Error('its signature is not valid')
  // The key may have been withdrawn during these waits.
  const isWithdrawn = isKeyRevoked(kid) || keys.find(kid, alg) !== key
  if (isWithdrawn) throw new Error('it is signed by a key that was withdrawn meanwhile')
  return payloadBytes
}

function parse(
  text: string,
  typ: string,
  bytesMax: number,
): { token: SignedText; payloadBytes: Buffer } {
  const parts = splitCompact(text, bytesMax)
  if (parts === null) throw new Error(`it is no compact JWS of at most ${bytesMax} bytes`)
  const header = parseStrictJson(parts.headerBytes)
  if (!isJsonObject(header) || Object.hasOwn(header, 'crit')) {
    throw new Error('its header is not acceptable')
  }
  // Each kind has its own, so that none passes for another (RFC 8725 §3.11).
  if (header.typ !== typ) throw new Error(`its typ is not ${typ}`)
  const { alg, kid } = header
  if (!isAlgorithm(alg) || !isKeyId(kid)) throw new Error('its alg or kid is not acceptable')
  const { signingInput, payload, signature } = parts
  return { token: { header: { alg, kid }, signingInput, signature }, payloadBytes: payload }
}

function unfitKey(code: Extract<KeyLookup, string>): string {
  if (code === 'keys_unavailable') return 'the keys of the issuer are not available'
  if (code === 'token_algorithm') return 'it is signed with another algorithm than that of the key'
  return 'it is signed by a key that is not known'
}
