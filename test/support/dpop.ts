import { createHash, randomUUID } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import type { Algorithm } from '../../src/tokens/algorithms.ts'

/** The key of a client, created by an independent library (jose). */
export interface ProofKey {
  readonly alg: Algorithm
  readonly privateKey: Awaited<ReturnType<typeof generateKeyPair>>['privateKey']
  readonly publicJwk: JWK
  readonly privateJwk: JWK
  readonly jkt: string
}

export async function makeProofKey(alg: Algorithm = 'ES256'): Promise<ProofKey> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
  const publicJwk = await exportJWK(publicKey)
  const privateJwk = await exportJWK(privateKey)
  return { alg, privateKey, publicJwk, privateJwk, jkt: await calculateJwkThumbprint(publicJwk) }
}

/** The content of a proof. An undefined member is left out. */
export interface ProofParts {
  readonly htm?: string
  readonly htu?: string
  /** In seconds. */
  readonly iat?: number
  readonly jti?: string
  /** The access token of the request, for `ath`. */
  readonly token?: string
  readonly claims?: Readonly<Record<string, unknown>>
  readonly header?: Readonly<Record<string, unknown>>
}

/** Creates a DPoP proof (RFC 9449 §4.2). */
export function makeProof(
  key: Pick<ProofKey, 'alg' | 'privateKey' | 'publicJwk'>,
  parts: ProofParts,
): Promise<string> {
  const { htm = 'GET', htu, jti = randomUUID(), token } = parts
  const iat = parts.iat ?? Math.floor(Date.now() / 1000)
  const ath = token && createHash('sha256').update(token).digest('base64url')
  return new SignJWT({ htm, htu, iat, jti, ...(ath && { ath }), ...parts.claims })
    .setProtectedHeader({ alg: key.alg, typ: 'dpop+jwt', jwk: key.publicJwk, ...parts.header })
    .sign(key.privateKey)
}
