import { constants, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import type { JsonObject } from '../../src/core/json.ts'
import { type Algorithm, algorithms } from '../../src/tokens/algorithms.ts'

export const issuer = 'https://auth.test'
export const audience = 'https://api.test'
/** The time of tests with tokens: 2026-11-24T00:00:00Z, in seconds. */
export const now_s = 1_795_478_400

/** A key pair, with the JWK that an issuer publishes. */
export interface TestKey {
  readonly kid: string
  readonly alg: Algorithm
  readonly privateKey: KeyObject
  readonly publicJwk: {
    readonly kid: string
    readonly alg: Algorithm
    readonly [name: string]: string
  }
}

export function makeKey(alg: Algorithm, kid = `key-${alg}`): TestKey {
  const { publicKey, privateKey } = makeKeyPair(alg)
  const jwk = publicKey.export({ format: 'jwk' }) as Record<string, string>
  return { kid, alg, privateKey, publicJwk: { ...jwk, kid, alg, use: 'sig' } }
}

function makeKeyPair(alg: Algorithm): { publicKey: KeyObject; privateKey: KeyObject } {
  if (alg === 'ES256') return generateKeyPairSync('ec', { namedCurve: 'P-256' })
  if (alg === 'Ed25519') return generateKeyPairSync('ed25519')
  if (alg === 'ML-DSA-44') return generateKeyPairSync('ml-dsa-44')
  return generateKeyPairSync('rsa', { modulusLength: 2048 })
}

/** The claims of a valid token, with changes. An undefined member is left out. */
export function claimsWith(changes: Readonly<Record<string, unknown>> = {}): JsonObject {
  return {
    iss: issuer,
    sub: 'user-1',
    aud: audience,
    exp: now_s + 300,
    iat: now_s,
    jti: 'token-1',
    client_id: 'web',
    scope: 'orders:read profile',
    sid: 'session-1',
    ...changes,
  } as JsonObject
}

export function headerWith(
  key: TestKey,
  changes: Readonly<Record<string, unknown>> = {},
): JsonObject {
  return { alg: key.alg, typ: 'at+jwt', kid: key.kid, ...changes } as JsonObject
}

export interface TokenParts {
  /** An object, or the exact text or bytes. */
  readonly header?: JsonObject | string | Buffer
  readonly payload?: JsonObject | string | Buffer
}

/** Signs a token of any content, valid or not. */
export function mint(key: TestKey, parts: TokenParts = {}): string {
  const { header = headerWith(key), payload = claimsWith() } = parts
  const signingInput = `${encode(header)}.${encode(payload)}`
  return `${signingInput}.${signBytes(key, signingInput).toString('base64url')}`
}

/** Encodes an object, or the exact text or bytes, as a part of a token. */
export function encode(part: object | string): string {
  const isExact = typeof part === 'string' || Buffer.isBuffer(part)
  return Buffer.from(isExact ? (part as string) : JSON.stringify(part)).toString('base64url')
}

export function signBytes({ alg, privateKey: key }: TestKey, signingInput: string): Buffer {
  const bytes = Buffer.from(signingInput)
  const { digest } = algorithms[alg]
  if (alg === 'ES256') return sign(digest, bytes, { key, dsaEncoding: 'ieee-p1363' })
  if (alg !== 'PS256') return sign(digest, bytes, key)
  return sign(digest, bytes, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 })
}

/** Returns a token with another signature. */
export function withSignature(token: string, change: (signature: Buffer) => Buffer): string {
  const end = token.lastIndexOf('.')
  const signature = Buffer.from(token.slice(end + 1), 'base64url')
  return `${token.slice(0, end)}.${change(signature).toString('base64url')}`
}

/** Decodes the claims of a token without verification. */
export function claimsOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
}

/** Returns the header that presents a token. */
export function bearer(token: string) {
  return { authorization: `Bearer ${token}` }
}
