import { isAlgorithm } from '../../tokens/algorithms.ts'
import { isKeyId, type SignedText, splitCompact } from '../../tokens/compact.ts'
import { isJsonObject, parseStrictJson } from '../../tokens/json.ts'
import type { KeyLookup, KeySource } from '../keys/key-source.ts'
import { verifySignature } from '../signature.ts'

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
