import {
  createCipheriv,
  createDecipheriv,
  createHash,
  diffieHellman,
  type KeyObject,
} from 'node:crypto'
import { GatepassError } from '../core/errors.ts'
import type { JsonObject } from '../core/json.ts'
import { smallRandomBytes } from '../core/secrets.ts'
import { accessTokenType, defaultMaxTokenBytes, isKeyId, isMediaType } from './access-token.ts'
import {
  coordinateBytes,
  type DecryptionKey,
  type EncryptionKey,
  generateEncryptionKeyPair,
  importPoint,
  keyAgreement,
} from './encryption-key.ts'
import {
  base64urlLength,
  decodeBase64url,
  isJsonObject,
  parseStrictJson,
} from './strict-decoding.ts'

/** The one accepted `enc` (RFC 7518 §5.3). */
const contentEncryption = 'A256GCM'
const cipher = { name: 'aes-256-gcm', keyBits: 256, ivBytes: 12, tagBytes: 16 } as const
/** The content is a JWT: a nested JWT (RFC 7519 §5.2). */
const contentType = 'JWT'
const partCount = 5
const noBytes = Buffer.alloc(0)

/** A parsed encrypted access token, not decrypted. */
export interface EncryptedToken {
  /** Id of the audience's key. */
  readonly kid: string
  /** The ephemeral public key of the sender, from the header. */
  readonly epk: JsonObject
  readonly partyU: Buffer
  readonly partyV: Buffer
  /** The encoded header, which is authenticated with the content (RFC 7516 §5.1, step 14). */
  readonly protectedHeader: string
  readonly iv: Buffer
  readonly ciphertext: Buffer
  readonly tag: Buffer
}

/**
 * Encrypts a signed access token for its audience, by ECDH-ES and A256GCM with an ephemeral key for
 * each token. The result is a nested JWT (RFC 7519 §5.2) in JWE Compact Serialization (RFC 7516 §7.1).
 * The outer header has the `typ` of an access token, too (RFC 9068 §4).
 */
export function encryptToken(signed: string, key: EncryptionKey): string {
  const ephemeral = generateEncryptionKeyPair(key.crv)
  const epk = ephemeral.publicKey.export({ format: 'jwk' })
  const protectedHeader = Buffer.from(JSON.stringify(jweHeader(key.kid, epk))).toString('base64url')
  const contentKey = agreeOnKey(ephemeral.privateKey, key.publicKey, noBytes, noBytes)
  const iv = smallRandomBytes(cipher.ivBytes)
  const encryption = createCipheriv(cipher.name, contentKey, iv, { authTagLength: cipher.tagBytes })
  encryption.setAAD(Buffer.from(protectedHeader))
  const ciphertext = Buffer.concat([encryption.update(signed, 'latin1'), encryption.final()])
  const last = [iv, ciphertext, encryption.getAuthTag()].map((part) => part.toString('base64url'))
  // The encrypted key between the first two dots is empty (RFC 7518 §4.6).
  return [protectedHeader, '', ...last].join('.')
}

function jweHeader(kid: string, epk: object) {
  return {
    alg: keyAgreement,
    enc: contentEncryption,
    kid,
    typ: accessTokenType,
    cty: contentType,
    epk,
  }
}

/** Returns the length of an encrypted token, by the length of the signed token. */
export function encryptedTokenBytes(signedBytes: number, { kid, crv }: EncryptionKey): number {
  const number = 'A'.repeat(base64urlLength(coordinateBytes))
  const epk =
    crv === 'P-256' ? { kty: 'EC', x: number, y: number, crv } : { kty: 'OKP', crv, x: number }
  const header = Buffer.byteLength(JSON.stringify(jweHeader(kid, epk)))
  const parts = [header, 0, cipher.ivBytes, signedBytes, cipher.tagBytes]
  return parts.reduce((sum, bytes) => sum + base64urlLength(bytes), partCount - 1)
}

/**
 * Parses an encrypted access token, as strictly as a signed one. Accepts ECDH-ES (no wrapped
 * key, no password) and A256GCM only, without compression.
 *
 * @param maxBytes a longer token is rejected unread
 * @throws `token_malformed` for any other text, and for `crit` in any form. `token_algorithm` for any
 *   other `alg` or `enc`, or a `zip`. `token_type` if it is not an access token or its content is not
 *   a JWT. `token_key_unknown` without a `kid`.
 */
export function parseEncrypted(token: string, maxBytes = defaultMaxTokenBytes): EncryptedToken {
  if (typeof token !== 'string' || token.length > maxBytes) throw malformed()
  const parts = token.split('.', partCount + 1)
  if (parts.length !== partCount) throw malformed()
  const [protectedHeader = '', encryptedKey, ...rest] = parts
  const headerBytes = decodeBase64url(protectedHeader)
  const [iv, ciphertext, tag] = rest.map(decodeBase64url)
  if (!headerBytes || !iv || !ciphertext || !tag) throw malformed()
  const header = readHeader(headerBytes)
  if (encryptedKey !== '' || iv.length !== cipher.ivBytes || tag.length !== cipher.tagBytes) {
    throw malformed()
  }
  return { ...header, protectedHeader, iv, ciphertext, tag }
}

function readHeader(bytes: Buffer): Pick<EncryptedToken, 'kid' | 'epk' | 'partyU' | 'partyV'> {
  const header = parseStrictJson(bytes)
  if (!isJsonObject(header) || Object.hasOwn(header, 'crit')) throw malformed()
  const { alg, enc, typ, cty, kid, epk } = header
  const isAccepted =
    alg === keyAgreement && enc === contentEncryption && !Object.hasOwn(header, 'zip')
  if (!isAccepted) throw new GatepassError('token_algorithm')
  // The signed token must have the type; the outer header may leave it out.
  const isType = typ === undefined || isMediaType(typ, accessTokenType)
  if (!isType || !isJwtType(cty)) throw new GatepassError('token_type')
  if (kid === undefined) throw new GatepassError('token_key_unknown')
  const partyU = readParty(header.apu)
  const partyV = readParty(header.apv)
  if (!isKeyId(kid) || !isJsonObject(epk) || !partyU || !partyV) throw malformed()
  return { kid, epk, partyU, partyV }
}

/** Media types ignore case (RFC 7515 §4.1.10). */
function isJwtType(cty: unknown): boolean {
  return typeof cty === 'string' && cty.toUpperCase() === contentType
}

/** Decodes `apu` or `apv` (RFC 7518 §4.6.1.2): empty if missing, null if malformed. */
function readParty(value: unknown): Buffer | null {
  return value === undefined ? noBytes : decodeBase64url(value)
}

/**
 * Decrypts a token and returns the signed token in it. The signed token is not verified: anybody with
 * the public key of the audience can encrypt for it.
 *
 * @throws `token_malformed` if decryption fails for any reason
 */
export function decryptToken(token: EncryptedToken, key: DecryptionKey): string {
  const epk = importPoint(token.epk, key.crv)
  if (epk === null) throw malformed()
  try {
    const contentKey = agreeOnKey(key.privateKey, epk, token.partyU, token.partyV)
    const decryption = createDecipheriv(cipher.name, contentKey, token.iv, {
      authTagLength: cipher.tagBytes,
    })
    decryption.setAAD(Buffer.from(token.protectedHeader))
    decryption.setAuthTag(token.tag)
    const content = Buffer.concat([decryption.update(token.ciphertext), decryption.final()])
    // One character per byte: bytes that are not ASCII stay invalid in a token.
    return content.toString('latin1')
  } catch {
    throw malformed()
  }
}

/** Derives the content key by Direct Key Agreement (RFC 7518 §4.6). */
function agreeOnKey(
  privateKey: KeyObject,
  publicKey: KeyObject,
  partyU: Buffer,
  partyV: Buffer,
): Buffer {
  const secret = diffieHellman({ privateKey, publicKey })
  const { keyBits } = cipher
  return concatKdf(secret, { algorithm: contentEncryption, partyU, partyV, keyBits })
}

function malformed(): GatepassError {
  return new GatepassError('token_malformed')
}

/** The input of a key derivation besides the secret (RFC 7518 §4.6.2). */
export interface KeyContext {
  /** `enc`, the algorithm that will use the key. */
  readonly algorithm: string
  /** The decoded `apu` and `apv`; empty if the header has neither. */
  readonly partyU: Uint8Array
  readonly partyV: Uint8Array
  /** At most 256: the output of one round of SHA-256. */
  readonly keyBits: number
}

const digestBits = 256

/** Derives a key by one round of the Concat KDF (RFC 7518 §4.6.2, NIST SP 800-56A §5.8.1). */
export function concatKdf(secret: Uint8Array, context: KeyContext): Buffer {
  const { algorithm, partyU, partyV, keyBits } = context
  if (keyBits > digestBits) throw new Error(`a key of ${keyBits} bits takes more than one round`)
  const hash = createHash('sha256').update(uint32(1)).update(secret)
  for (const field of [Buffer.from(algorithm), partyU, partyV]) {
    hash.update(uint32(field.length)).update(field)
  }
  return hash
    .update(uint32(keyBits))
    .digest()
    .subarray(0, keyBits / 8)
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
