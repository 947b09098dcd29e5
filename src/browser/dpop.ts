import { done, openStore } from './platform.ts'
import type { KeyPair } from './types.ts'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

/** Creates DPoP proofs with one key pair (RFC 9449). */
export class DpopProver {
  readonly #load: () => Promise<KeyPair>
  /** Null loads the key pair again: another tab may have replaced one that the browser has deleted. */
  keyPair: Promise<KeyPair> | null = null
  /**
   * The newest nonce of any server (RFC 9449 §8.2). A server with other nonces responds with one of
   * its own.
   */
  nonce: string | undefined

  /** @param load loads the key pair for the first proof, and again after a failure */
  constructor(load: () => Promise<KeyPair>) {
    this.#load = load
  }

  /** Returns the key pair, which is kept. */
  keys(): Promise<KeyPair> {
    this.keyPair ??= this.#load().catch((error) => {
      this.keyPair = null
      throw error
    })
    return this.keyPair
  }

  /**
   * Creates the proof for a request (RFC 9449 §4.2).
   *
   * @param nowMs the estimated time at the issuer
   * @param token the access token of the request
   */
  async prove(
    { method, url }: Pick<Request, 'method' | 'url'>,
    nowMs: number,
    token?: string,
  ): Promise<string> {
    const { publicKey, privateKey } = await this.keys()
    const { kty, crv, x, y } = await crypto.subtle.exportKey('jwk', publicKey)
    const header = { typ: 'dpop+jwt', alg: 'ES256', jwk: { kty, crv, x, y } }
    const claims = {
      htm: method,
      htu: url.replace(/[?#].*/, ''),
      iat: Math.floor(nowMs / 1000),
      jti: randomKey(),
      nonce: this.nonce,
      ath: token && base64url(await crypto.subtle.digest('SHA-256', bytes(token))),
    }
    const parts = [header, claims].map((part) => base64url(bytes(JSON.stringify(part))))
    const signature = await crypto.subtle.sign(algorithm, privateKey, bytes(parts.join('.')))
    return [...parts, base64url(signature)].join('.')
  }
}

/** 128 random bits. `randomUUID` is missing in insecure contexts. */
export function randomKey(): string {
  return crypto.getRandomValues(new Uint32Array(4)).join('-')
}

export function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text)
}

export function base64url(data: ArrayBuffer | Uint8Array): string {
  const text = btoa(String.fromCharCode(...new Uint8Array(data)))
  return text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

/**
 * Loads or creates the key pair of this origin for an issuer. IndexedDB stores it, and no script
 * can export the private key. Tabs that create a key pair at the same time all use the first stored
 * one.
 */
export async function loadKeyPair(issuer: string): Promise<KeyPair> {
  const made = await crypto.subtle.generateKey(algorithm, false, ['sign', 'verify'])
  const store = await openStore()
  const kept = (await done(store.get(issuer))) as KeyPair | undefined
  if (!kept) await done(store.put(made, issuer))
  return kept ?? made
}
