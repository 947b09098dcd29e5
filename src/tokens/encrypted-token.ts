import {
  createCipheriv,
  createDecipheriv,
  createHash,
  diffieHellman,
  type KeyObject,
  randomBytes,
} from 'node:crypto'
import { GatepassError } from '../core/errors.ts'
import type { JsonObject } from '../core/json.ts'
import {
  accessTokenType,
  isAccessTokenType,
  isKeyId,
  maxTokenBytesDefault,
} from './access-token.ts'
import {
  coordinateBytes,
  type DecryptionKey,
  type EncryptionKey,
  keyAgreement,
  makeKeyPair,
  readPoint,
} from './encryption-key.ts'
import {
  base64urlLength,
  decodeBase64url,
  isJsonObject,
  parseStrictJson,
} from './strict-decoding.ts'

/** The one content encryption: RFC 7518 §5.3, with its sizes. */
const contentEncryption = 'A256GCM'
const cipher = { name: 'aes-256-gcm', keyBits: 256, ivBytes: 12, tagBytes: 16 } as const
/** What is inside is a JWT: nested, RFC 7519 §5.2. */
const contentType = 'JWT'
const partCount = 5
const nothing = Buffer.alloc(0)

/** An encrypted access token, taken apart but not opened. */
export interface EncryptedToken {
  /** Names the audience's key. */
  readonly kid: string
  /** The sender's ephemeral public key, as it stands in the header. */
  readonly epk: JsonObject
  readonly partyU: Buffer
  readonly partyV: Buffer
  /** The encoded header: it is authenticated with the content (RFC 7516 §5.1, step 14). */
  readonly protectedHeader: string
  readonly iv: Buffer
  readonly ciphertext: Buffer
  readonly tag: Buffer
}

/**
 * Encrypts a signed access token for its audience: JWE Compact Serialization (RFC 7516 §7.1) by
 * ECDH-ES and A256GCM, nested as RFC 7519 §5.2 has it. `typ` says outside too what RFC 9068 §4 looks
 * for. Each token has an ephemeral key of its own, and so a content key of its own.
 */
export function encryptToken(signed: string, key: EncryptionKey): string {
  const ephemeral = makeKeyPair(key.crv)
  const epk = ephemeral.publicKey.export({ format: 'jwk' })
  const protectedHeader = Buffer.from(JSON.stringify(jweHeader(key.kid, epk))).toString('base64url')
  const contentKey = agree(ephemeral.privateKey, key.publicKey, nothing, nothing)
  const iv = randomBytes(cipher.ivBytes)
  const encryption = createCipheriv(cipher.name, contentKey, iv, { authTagLength: cipher.tagBytes })
  encryption.setAAD(Buffer.from(protectedHeader))
  const ciphertext = Buffer.concat([encryption.update(signed, 'latin1'), encryption.final()])
  const last = [iv, ciphertext, encryption.getAuthTag()].map((part) => part.toString('base64url'))
  // Between the first two dots would stand an encrypted key; there is none (RFC 7518 §4.6).
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

/** How long a token of so many bytes is once it is encrypted. */
export function encryptedTokenBytes(signedBytes: number, { kid, crv }: EncryptionKey): number {
  const number = 'A'.repeat(base64urlLength(coordinateBytes))
  const epk =
    crv === 'P-256' ? { kty: 'EC', x: number, y: number, crv } : { kty: 'OKP', crv, x: number }
  const header = Buffer.byteLength(JSON.stringify(jweHeader(kid, epk)))
  const parts = [header, 0, cipher.ivBytes, signedBytes, cipher.tagBytes]
  return parts.reduce((sum, bytes) => sum + base64urlLength(bytes), partCount - 1)
}

/**
 * Takes an encrypted access token apart, as strictly as `parseCompact` does a signed one. It must be
 * by ECDH-ES (no wrapped key, no password) and A256GCM, without compression.
 *
 * @param maxBytes a longer token is refused unread
 * @throws `token_malformed` for a text that is no such token, or `crit` in any form;
 *   `token_algorithm` for any other `alg` or `enc`, or a `zip`; `token_type` if it is no access token
 *   or its content no JWT; `token_key_unknown` if it names no key
 */
export function parseEncrypted(token: string, maxBytes = maxTokenBytesDefault): EncryptedToken {
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
  const isOurs = alg === keyAgreement && enc === contentEncryption && !Object.hasOwn(header, 'zip')
  if (!isOurs) throw new GatepassError('token_algorithm')
  // What is inside must say that it is an access token. Outside it may be left out.
  const isType = typ === undefined || isAccessTokenType(typ)
  if (!isType || !isJwtType(cty)) throw new GatepassError('token_type')
  if (kid === undefined) throw new GatepassError('token_key_unknown')
  const partyU = readParty(header.apu)
  const partyV = readParty(header.apv)
  if (!isKeyId(kid) || !isJsonObject(epk) || !partyU || !partyV) throw malformed()
  return { kid, epk, partyU, partyV }
}

/** Media types have no case (RFC 7515 §4.1.10). */
function isJwtType(cty: unknown): boolean {
  return typeof cty === 'string' && cty.toUpperCase() === contentType
}

/** `apu` or `apv` (RFC 7518 §4.6.1.2): empty where there is none. */
function readParty(value: unknown): Buffer | null {
  if (value === undefined) return nothing
  return typeof value === 'string' ? decodeBase64url(value) : null
}

/**
 * The signed token that is inside. It is not believed either: whoever has the public key of an
 * audience can encrypt for it.
 *
 * @throws `token_malformed` if the key does not open it, whatever the reason
 */
export function decryptToken(token: EncryptedToken, key: DecryptionKey): string {
  const epk = readPoint(token.epk, key.crv)
  if (epk === null) throw malformed()
  try {
    const contentKey = agree(key.privateKey, epk, token.partyU, token.partyV)
    const decryption = createDecipheriv(cipher.name, contentKey, token.iv, {
      authTagLength: cipher.tagBytes,
    })
    decryption.setAAD(Buffer.from(token.protectedHeader))
    decryption.setAuthTag(token.tag)
    const content = Buffer.concat([decryption.update(token.ciphertext), decryption.final()])
    // One character a byte: what is not ASCII stays so, and no part of a token.
    return content.toString('latin1')
  } catch {
    throw malformed()
  }
}

/** The content key, by Direct Key Agreement (RFC 7518 §4.6). */
function agree(
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

/** What a key is derived for, beside the secret (RFC 7518 §4.6.2). */
export interface KeyContext {
  /** `enc`, the algorithm that will use the key. */
  readonly algorithm: string
  /** The decoded `apu` and `apv`; empty if the header has none. */
  readonly partyU: Uint8Array
  readonly partyV: Uint8Array
  /** At most 256: what one round of SHA-256 gives. */
  readonly keyBits: number
}

const digestBits = 256

/** The Concat KDF of RFC 7518 §4.6.2 (NIST SP 800-56A §5.8.1) for a key of one round. */
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
