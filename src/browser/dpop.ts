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

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text)
}

function base64url(data: ArrayBuffer | Uint8Array): string {
  const text = btoa(String.fromCharCode(...new Uint8Array(data)))
  return text.replace(/[+/=]/g, (sign) => ({ '+': '-', '/': '_' })[sign] ?? '')
}

interface Request<T> {
  readonly result: T
  readonly error: unknown
  onsuccess: () => void
  onerror: () => void
}

interface Database {
  createObjectStore(name: string): void
  close(): void
  transaction(store: string, mode: 'readwrite'): { objectStore(name: string): Store }
}

interface Store {
  get(key: string): Request<KeyPair | undefined>
  add(value: KeyPair, key: string): Request<unknown>
}

type OpenRequest = Request<Database> & { onupgradeneeded: () => void }

/**
 * Loads or creates the key pair of this origin for an issuer. IndexedDB stores it, and no script can export
 * the private key. Tabs that create one at the same time use the first one stored.
 */
export async function loadKeyPair(issuer: string): Promise<KeyPair> {
  const { indexedDB } = globalThis as unknown as {
    indexedDB: { open(name: string): OpenRequest }
  }
  const name = 'gatepass'
  const opening = indexedDB.open(name)
  opening.onupgradeneeded = () => opening.result.createObjectStore(name)
  const database = await done(opening)
  const store = () => database.transaction(name, 'readwrite').objectStore(name)
  try {
    const kept = await done(store().get(issuer))
    if (kept) return kept
    const made = await crypto.subtle.generateKey(algorithm, false, ['sign', 'verify'])
    await done(store().add(made, issuer)).catch(() => {})
    return (await done(store().get(issuer))) ?? made
  } finally {
    database.close()
  }
}

function done<T>(request: Request<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}
