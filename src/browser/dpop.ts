import type { KeyPair } from './types.ts'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }

/** What a DPoP proof is for (RFC 9449 §4.2). */
export interface Proven {
  readonly method: string
  readonly url: string
  /** The access token that goes with it. */
  readonly token?: string | undefined
  /** By the clock of the issuer, as far as it is known. */
  readonly nowMs: number
}

/** Makes the proofs of possession of one key. */
export class Prover {
  readonly #find: () => Promise<KeyPair>
  #keys: Promise<KeyPair> | null = null

  /** @param find called when a proof is first asked for, and again after it failed */
  constructor(find: () => Promise<KeyPair>) {
    this.#find = find
  }

  async prove({ method, url, token, nowMs }: Proven): Promise<string> {
    this.#keys ??= this.#find()
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
 * The key of this origin for an issuer, which IndexedDB keeps and no script can read out. Tabs that
 * make one at the same time end up with the one that was there first.
 */
export async function keptKeys(issuer: string): Promise<KeyPair> {
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
