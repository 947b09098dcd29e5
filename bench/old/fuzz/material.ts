import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { encryptToken } from '../../../src/tokens/encrypted-token.ts'
import { importEncryptionKey, makeKeyPair } from '../../../src/tokens/encryption-key.ts'
import { createVerifier, type Verifier } from '../../../src/verifier/index.ts'

/** The instant at which all takes place, in seconds. */
export const now_s = 1_800_000_000
export const issuer = 'https://auth.example.com'
export const audience = 'https://api.example.com'

/** Members of a JSON object in their order: names, and values as JSON text. */
export type Members = readonly (readonly [name: string, json: string])[]

export interface FuzzKey {
  readonly alg: 'ES256' | 'Ed25519'
  readonly kid: string
  readonly privateKey: KeyObject
  readonly publicJwk: object
}

/** Keys, and verifiers that trust them. */
export interface Material {
  readonly keys: readonly FuzzKey[]
  /** Takes signed tokens. */
  readonly plain: Verifier
  /** Takes encrypted tokens alone. */
  readonly encrypted: Verifier
  seal(signed: string): string
}

export function makeMaterial(): Material {
  const keys = [makeKey('ES256'), makeKey('Ed25519')]
  const pair = makeKeyPair('X25519')
  const named = (key: KeyObject) => ({ ...key.export({ format: 'jwk' }), kid: 'audience' })
  const imported = importEncryptionKey(named(pair.publicKey))
  if (!imported.ok) throw new Error(imported.reason)
  const options = {
    issuer,
    audience,
    jwks: { keys: keys.map(({ publicJwk }) => publicJwk) },
    clock: { nowMs: () => now_s * 1000 },
  }
  return {
    keys,
    plain: createVerifier(options),
    encrypted: createVerifier({ ...options, decryptionKeys: [named(pair.privateKey)] }),
    seal: (signed) => encryptToken(signed, imported.key),
  }
}

function makeKey(alg: FuzzKey['alg']): FuzzKey {
  const { publicKey, privateKey } =
    alg === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('ed25519')
  const kid = `key-${alg}`
  return { alg, kid, privateKey, publicJwk: { ...publicKey.export({ format: 'jwk' }), kid, alg } }
}

export function headerOf({ alg, kid }: FuzzKey): Members {
  return members({ alg, typ: 'at+jwt', kid })
}

export const goodClaims: Members = members({
  iss: issuer,
  sub: 'user-1',
  aud: audience,
  exp: now_s + 300,
  iat: now_s,
  jti: 'token-1',
  client_id: 'web',
  scope: 'orders:read',
  sid: 'session-1',
})

function members(object: object): Members {
  return Object.entries(object).map(([name, value]) => [name, JSON.stringify(value)])
}

export function writeObject(all: Members): string {
  return `{${all.map(([name, json]) => `${JSON.stringify(name)}:${json}`).join(',')}}`
}

/** Signs whatever stands in a token. */
export function signParts(key: FuzzKey, header: Buffer, payload: Buffer): string {
  const input = `${header.toString('base64url')}.${payload.toString('base64url')}`
  const { alg, privateKey } = key
  const signature =
    alg === 'ES256'
      ? sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' })
      : sign(null, Buffer.from(input), privateKey)
  return `${input}.${signature.toString('base64url')}`
}
