import {
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
} from 'node:crypto'
import type { JsonObject } from '../core/json.ts'
import { isKeyId } from './access-token.ts'
import { decodeBase64url, isJsonObject } from './strict-decoding.ts'

/** Curves of encryption keys: RFC 7518 §6.2.1.1, RFC 8037 §3.2. */
const curves = {
  'P-256': { kty: 'EC', coordinates: ['x', 'y'] },
  X25519: { kty: 'OKP', coordinates: ['x'] },
} as const

export type EncryptionCurve = keyof typeof curves

export const encryptionCurves = Object.keys(curves) as [EncryptionCurve, ...EncryptionCurve[]]

/** The one accepted `alg` of an encrypted token: RFC 7518 §4.6, without key wrap. */
export const keyAgreement = 'ECDH-ES'

/** Length of a coordinate and of a private key, for both curves. */
export const coordinateBytes = 32

/** The public key of an audience, to encrypt its tokens. */
export interface EncryptionKey {
  readonly kid: string
  readonly crv: EncryptionCurve
  readonly publicKey: KeyObject
}

/** The private key of an audience, to decrypt its tokens. */
export interface DecryptionKey {
  readonly kid: string
  readonly crv: EncryptionCurve
  readonly privateKey: KeyObject
}

export type ImportResult<Key> =
  | { readonly ok: true; readonly key: Key }
  | { readonly ok: false; readonly reason: string }

/** Imports an encryption key from a public JWK (RFC 7517) with a `kid`. Never throws. */
export function importEncryptionKey(jwk: unknown): ImportResult<EncryptionKey> {
  if (isJsonObject(jwk) && Object.hasOwn(jwk, 'd')) return refuse('it must not be a private key')
  return importPublicPart(jwk)
}

/** Imports a decryption key from a private JWK with a `kid`. Never throws; no reason quotes a value. */
export function importDecryptionKey(jwk: unknown): ImportResult<DecryptionKey> {
  const publicPart = importPublicPart(jwk)
  if (!publicPart.ok) return publicPart
  const { kid, crv, publicKey } = publicPart.key
  const { d } = jwk as JsonObject
  if (!isCoordinate(d)) return refuse('it must have its private member d')
  try {
    const key = { ...publicKey.export({ format: 'jwk' }), d }
    const privateKey = createPrivateKey({ key, format: 'jwk' })
    // Not every version of Node checks that the two parts belong together.
    if (!isPair(publicKey, privateKey, crv)) return refuse('it is not a valid private key')
    return { ok: true, key: Object.freeze({ kid, crv, privateKey }) }
  } catch {
    return refuse('it is not a valid private key')
  }
}

function importPublicPart(jwk: unknown): ImportResult<EncryptionKey> {
  if (!isJsonObject(jwk)) return refuse('it is not a JSON object')
  const { kid, crv, use, alg } = jwk
  if (!isKeyId(kid)) return refuse('it has no acceptable kid')
  if (!isCurve(crv)) return refuse(`its crv must be one of ${encryptionCurves.join(', ')}`)
  if (jwk.kty !== curves[crv].kty) return refuse(`its kty must be ${curves[crv].kty}`)
  if (use !== undefined && use !== 'enc') return refuse('its use must be enc')
  if (alg !== undefined && alg !== keyAgreement) return refuse(`its alg must be ${keyAgreement}`)
  const publicKey = importPoint(jwk, crv)
  if (publicKey === null || !canAgree(publicKey, crv)) return refuse('it is not a valid public key')
  return { ok: true, key: Object.freeze({ kid, crv, publicKey }) }
}

/**
 * Imports the public key of a JWK from its coordinates.
 *
 * @returns null if they are missing, not canonical base64url, or not a point of the curve. X25519
 *   accepts any 32 bytes; a point of small order fails at the key agreement.
 */
export function importPoint(jwk: JsonObject, crv: EncryptionCurve): KeyObject | null {
  const { kty, coordinates } = curves[crv]
  if (jwk.kty !== kty || jwk.crv !== crv) return null
  const key: JsonWebKey = { kty, crv }
  for (const name of coordinates) {
    const text = jwk[name]
    if (!isCoordinate(text)) return null
    key[name] = text
  }
  try {
    return createPublicKey({ key, format: 'jwk' })
  } catch {
    return null
  }
}

/** Generates a key pair: the ephemeral key of one token, or the key of an audience. */
export function generateEncryptionKeyPair(crv: EncryptionCurve) {
  return crv === 'P-256'
    ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
    : generateKeyPairSync('x25519')
}

function canAgree(publicKey: KeyObject, crv: EncryptionCurve): boolean {
  try {
    diffieHellman({ privateKey: generateEncryptionKeyPair(crv).privateKey, publicKey })
    return true
  } catch {
    return false
  }
}

function isPair(publicKey: KeyObject, privateKey: KeyObject, crv: EncryptionCurve): boolean {
  const other = generateEncryptionKeyPair(crv)
  const ours = diffieHellman({ privateKey, publicKey: other.publicKey })
  return ours.equals(diffieHellman({ privateKey: other.privateKey, publicKey }))
}

function isCoordinate(value: unknown): value is string {
  return decodeBase64url(value)?.length === coordinateBytes
}

function isCurve(value: unknown): value is EncryptionCurve {
  return typeof value === 'string' && Object.hasOwn(curves, value)
}

function refuse(reason: string): { ok: false; reason: string } {
  return { ok: false, reason }
}
