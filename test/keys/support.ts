import type { Clock } from '../../src/core/clock.ts'
import type { KeyPolicy } from '../../src/keys/schedule.ts'
import type { KeyInfo, KeyRecord, KeyStore } from '../../src/keys/store.ts'

/** Lead 1,700 ms: 1,000 of max-age, 500 of skew, 200 until a key is noticed. */
export const policy: KeyPolicy = {
  rotationMs: 10_000,
  jwksMaxAgeMs: 1_000,
  clockSkewMs: 500,
  accessTtlMs: 3_000,
}

/** The start of epoch 100. */
export const startMs = 100 * policy.rotationMs

export class FakeClock implements Clock {
  timeMs: number

  constructor(timeMs: number) {
    this.timeMs = timeMs
  }

  nowMs(): number {
    return this.timeMs
  }
}

/** A key for whoever needs no key material. */
export function fakeKey(activateAtMs: number, rest: Partial<KeyInfo> = {}): KeyInfo {
  const name = `epoch-${Math.floor(activateAtMs / policy.rotationMs)}-ES256`
  return {
    name,
    kid: `kid of ${activateAtMs}`,
    alg: 'ES256',
    createdAtMs: 0,
    activateAtMs,
    ...rest,
  }
}

/** A store in memory that can be broken. */
export class MemoryKeyStore implements KeyStore {
  readonly records = new Map<string, KeyRecord>()
  fault: Error | null = null
  lists = 0

  async list(): Promise<KeyRecord[]> {
    this.lists++
    this.#answer()
    return [...this.records.values()]
  }

  async insertIfAbsent(record: KeyRecord): Promise<boolean> {
    this.#answer()
    if (this.records.has(record.name)) return false
    this.records.set(record.name, record)
    return true
  }

  async remove(name: string): Promise<void> {
    this.#answer()
    this.records.delete(name)
  }

  async ping(): Promise<void> {
    this.#answer()
  }

  async close(): Promise<void> {}

  #answer(): void {
    if (this.fault !== null) throw this.fault
  }
}
