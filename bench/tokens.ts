import { randomUUID } from 'node:crypto'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import type { Traffic } from './harness/traffic.ts'
import { listen } from './programs/serve.ts'

/** Access tokens like those of an issuer (RFC 9068), so that a verifier is measured without an issuer. */

export const issuer = 'https://auth.example.com'
export const audience = 'https://api.example.com'
const hour_s = 3600
const commonClaims = { client_id: 'default', scope: 'data:read data:write', amr: ['pwd'] }

export type Algorithm = 'ES256' | 'RS256'

export interface Trust {
  readonly issuer: string
  readonly audience: string
  readonly jwks: { readonly keys: readonly object[] }
}

export type TokenSigner = Awaited<ReturnType<typeof createSigner>>

/** @param kid the `kid` of the key; default: a new one */
export async function createSigner(alg: Algorithm = 'ES256', kid: string = randomUUID()) {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  const jwk = { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' }
  const sign = ({ age_s = 0, aud = audience } = {}) => {
    const iat = Math.floor(Date.now() / 1000) - age_s
    const ids = { sub: randomUUID(), sid: randomUUID(), jti: randomUUID() }
    const times = { iat, auth_time: iat, exp: iat + hour_s }
    const claims = { ...commonClaims, ...ids, ...times, iss: issuer, aud }
    return new SignJWT(claims).setProtectedHeader({ alg, typ: 'at+jwt', kid }).sign(privateKey)
  }
  return {
    trust: { issuer, audience, jwks: { keys: [jwk] } } satisfies Trust,
    sign,
    signMany: (count: number) => Promise.all(Array.from({ length: count }, () => sign())),
  }
}

/** Tokens by their defect. `good` has no defect. */
export type Samples = Readonly<Record<string, string>>

export async function createSamples(signer: TokenSigner): Promise<Samples> {
  const [key] = signer.trust.jwks.keys as readonly { kid: string; alg: Algorithm }[]
  const stranger = await createSigner(key?.alg, key?.kid)
  const good = await signer.sign()
  const [, claims, signature] = good.split('.')
  const noneHeader = Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')
  const [otherHeader, otherClaims] = (await signer.sign()).split('.')
  return {
    good,
    forged: await stranger.sign(),
    altered: `${otherHeader}.${otherClaims}.${signature}`,
    unsigned: `${noneHeader}.${claims}.`,
    expired: await signer.sign({ age_s: 24 * hour_s }),
    'for another audience': await signer.sign({ aud: 'https://other.example.com' }),
  }
}

export function bearer(token: string) {
  return { authorization: `Bearer ${token}` }
}

/** Sends each sample to a guarded route. @throws if a bad one is accepted, or the good one refused */
export async function checkSamples(samples: Samples, url: string): Promise<void> {
  for (const [name, token] of Object.entries(samples)) {
    const response = await fetch(url, { headers: bearer(token) })
    await response.arrayBuffer()
    const expected = name === 'good' ? 200 : 401
    if (response.status !== expected) {
      throw new Error(`The answer to a token that is ${name} has the status ${response.status}.`)
    }
  }
}

/** Publishes a key set over HTTP. @returns its URL */
export async function publishKeys({ jwks }: Trust): Promise<string> {
  const body = JSON.stringify(jwks)
  const port = await listen((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/jwk-set+json' }).end(body)
  })
  return `http://127.0.0.1:${port}/jwks.json`
}

export function headerTraffic(
  all: readonly Readonly<Record<string, string>>[],
  { method = 'GET', path = '/verify' } = {},
): Traffic {
  return { requests: all.map((headers) => ({ method, path, headers })) }
}
