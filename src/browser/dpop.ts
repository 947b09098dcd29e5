import { done, openStore } from './indexed-db.ts'
import type { KeyPair } from './types.ts'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

/** The request that a DPoP proof is for (RFC 9449 §4.2). */
export interface ProofRequest {
  readonly method: string
  readonly url: string
  /** The access token of the request. */
  readonly token?: string | undefined
  /** The estimated time at the issuer. */
  readonly nowMs: number
}

/** Creates DPoP proofs with one key pair (RFC 9449). */
export class DpopProver {
  readonly #load: () => Promise<KeyPair>
  #keys: Promise<KeyPair> | null = null

  /** @param load loads the key pair for the first proof, and again after a failure */
  constructor(load: () => Promise<KeyPair>) {
    this.#load = load
  }

  async prove({ method, url, token, nowMs }: ProofRequest): Promise<string> {
    this.#keys ??= this.#load()
    const { publicKey, privateKey } = await this.#keys.catch((error) => {
      this.#keys = null
      throw error
    })
    const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', publicKey)
    const header = { typ: 'dpop+jwt', alg: 'ES256', jwk: { kty, crv, x, y } }
    const claims = {
      htm: method,
      htu: url.replace(/[?#].*/, ''),
      iat: Math.floor(nowMs / 1000),
      jti: base64url(crypto.getRandomValues(new Uint8Array(16))),
      ath: token && base64url(await crypto.subtle.digest('SHA-256', bytes(token))),
    }
    const [head, body] = [header, claims].map((part) => base64url(bytes(JSON.stringify(part))))
    const signature = await crypto.subtle.sign(algorithm, privateKey, bytes(`${head}.${body}`))
    return `${head}.${body}.${base64url(signature)}`
  }
}

export function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text)
}

export function base64url(data: ArrayBuffer | Uint8Array): string {
  const text = btoa(String.fromCharCode(...new Uint8Array(data)))
  return text.replace(/[+/=]/g, (sign) => ({ '+': '-', '/': '_' })[sign] ?? '')
}

/**
 * Loads or creates the key pair of this origin for an issuer. IndexedDB stores it, and no script can export
 * the private key. Tabs that create one at the same time use the first one stored.
 */
export async function loadKeyPair(issuer: string): Promise<KeyPair> {
  const made = await crypto.subtle.generateKey(algorithm, false, ['sign', 'verify'])
  const store = await openStore()
  const kept = (await done(store.get(issuer))) as KeyPair | undefined
  if (!kept) await done(store.put(made, issuer))
  return kept ?? made
}
