import { generateKey, type KeyRecord, type StoredKey } from '../../src/keys/key-record.ts'
import type { KeyStore } from '../../src/keys/key-store.ts'
import type { KeyInfo, KeyPolicy } from '../../src/keys/lifecycle.ts'

/** Lead 1,700 ms: 1,000 of max-age, 500 of skew, 200 until a key is noticed. */
export const policy: KeyPolicy = {
  rotationMs: 10_000,
  jwksMaxAgeMs: 1_000,
  clockSkewMs: 500,
  accessTtlMs: 3_000,
}

/** The start of epoch 100. */
export const startMs = 100 * policy.rotationMs

/** A key without key material. */
export function fakeKey(activateAtMs: number, rest: Partial<KeyInfo> = {}): KeyInfo {
  const name = `epoch-${Math.floor(activateAtMs / policy.rotationMs)}-ES256`
  return {
    name,
    kid: `kid of ${activateAtMs}`,
    alg: 'ES256',
    createdAtMs: 0,
    activateAtMs,
    revokedAtMs: null,
    ...rest,
  }
}

/** A key with key material. */
export async function newRecord(changes: Partial<KeyInfo> = {}): Promise<KeyRecord> {
  const alg = changes.alg ?? 'Ed25519'
  const made = await generateKey(alg)
  const times = { createdAtMs: 1, activateAtMs: 2, revokedAtMs: null }
  return { name: `epoch-1-${alg}`, alg, ...times, ...changes, ...made }
}

/** A store in memory that can be broken. */
export class MemoryKeyStore implements KeyStore {
  readonly texts = new Map<string, string>()
  fault: Error | null = null
  lists = 0

  async list(): Promise<StoredKey[]> {
    this.lists++
    this.#answer()
    return [...this.texts].map(([name, text]) => ({ name, text }))
  }

  async insertIfAbsent({ name, text }: StoredKey): Promise<boolean> {
    this.#answer()
    if (this.texts.has(name)) return false
    this.texts.set(name, text)
    return true
  }

  async replace({ name, text }: StoredKey): Promise<void> {
    this.#answer()
    this.texts.set(name, text)
  }

  async remove(name: string): Promise<void> {
    this.#answer()
    this.texts.delete(name)
  }

  async close(): Promise<void> {}

  #answer(): void {
    if (this.fault !== null) throw this.fault
  }
}
