import { CompactSign, type CryptoKey } from 'jose'
import type { Algorithm } from './algorithms.ts'

/** A private key and the one algorithm that it signs with. */
export interface SigningKey {
  readonly kid: string
  readonly alg: Algorithm
  readonly key: CryptoKey
}

/** The header of everything that we sign: `typ` keeps one kind from passing for another (RFC 8725 §3.11). */
export function jwsHeader({ alg, kid }: SigningKey, typ: string) {
  return { alg, kid, typ }
}

/** Signs bytes as a compact JWS (RFC 7515 §7.1). */
export function signCompact(payload: Uint8Array, typ: string, key: SigningKey): Promise<string> {
  return new CompactSign(payload).setProtectedHeader(jwsHeader(key, typ)).sign(key.key)
}
