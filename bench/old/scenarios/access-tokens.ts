import { KeyObject } from 'node:crypto'
import { exportJWK, generateKeyPair } from 'jose'
import { randomId } from '../../../src/core/secrets.ts'
import { signAccessToken } from '../../../src/tokens/access-token.ts'
import type { Algorithm } from '../../../src/tokens/algorithms.ts'
import { readyForJws } from '../../../src/tokens/node-key.ts'
import type { SigningKey } from '../../../src/tokens/sign.ts'

export const issuer = 'https://auth.example.com'
export const audience = 'https://api.example.com'
const hour_s = 3600

/** A key of our own, and its public half as an issuer publishes it. */
export async function createSigningKey(
  alg: Algorithm = 'ES256',
): Promise<{ key: SigningKey; jwks: { keys: object[] } }> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  const named = { kid: randomId(), alg }
  return {
    key: { ...named, key: readyForJws(KeyObject.from(privateKey), alg) },
    jwks: { keys: [{ ...(await exportJWK(publicKey)), ...named, use: 'sig' }] },
  }
}

/** Access tokens as an issuer makes them, each of another user and session. */
export function signTokens(count: number, key: SigningKey): Promise<string[]> {
  return Promise.all(Array.from({ length: count }, () => signToken(key)))
}

/** @param options how long ago it was made, and for whom; by default now, and for the audience */
export function signToken(
  key: SigningKey,
  { age_s = 0, aud = audience }: { readonly age_s?: number; readonly aud?: string } = {},
): Promise<string> {
  const iat = Math.floor(Date.now() / 1000) - age_s
  const claims = {
    iss: issuer,
    sub: randomId(),
    aud,
    exp: iat + hour_s,
    iat,
    jti: randomId(),
    client_id: 'default',
    scope: 'data:read data:write',
    sid: randomId(),
    auth_time: iat,
    amr: ['pwd'],
  }
  return signAccessToken(claims, key)
}
