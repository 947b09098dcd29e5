import type { Clock } from '../core/clock.ts'
import type { Algorithm } from '../tokens/algorithms.ts'
import type { PlannedKey } from './plan.ts'
import { generateKey, importPrivateKey, publicJwkOf } from './record.ts'
import { inTurn } from './schedule.ts'
import { type KeyRecord, keyInfo } from './store.ts'
import type { KeyVault } from './vault.ts'
import type { KeyEvent, RingKey } from './view.ts'

/** What it takes to make a key and to put it into the store. */
export interface KeyMaking {
  readonly vault: KeyVault
  /** Of the keys that are made from now on; those in the store keep theirs. */
  readonly algorithm: Algorithm
  readonly clock: Clock
  /** For the audit log. Must not throw. */
  readonly onChange?: (event: KeyEvent) => void
}

/**
 * Makes a key and inserts it. Another replica may have been faster, which is as good.
 *
 * @param plan asked when the key is made: RSA takes a while, and the lead counts from publication
 */
export async function createKey(
  { vault, algorithm, clock, onChange }: KeyMaking,
  plan: (nowMs: number) => PlannedKey | null,
): Promise<PlannedKey | null> {
  const made = await generateKey(algorithm)
  const createdAtMs = clock.nowMs()
  const planned = plan(createdAtMs)
  if (planned === null) return null
  if (await vault.insertIfAbsent({ ...planned, ...made, createdAtMs, revokedAtMs: null })) {
    onChange?.({ name: 'key.created', kid: made.kid })
  }
  return planned
}

/**
 * Keys that are ready for use, in turn.
 * @param known those made ready before, which need not be imported again
 */
export function ringKeys(records: readonly KeyRecord[], known: readonly RingKey[]): RingKey[] {
  const imported = new Map(known.map(({ kid, key }) => [kid, key]))
  return inTurn(
    records.map((record) => ({
      ...keyInfo(record),
      key: imported.get(record.kid) ?? importPrivateKey(record),
      publicJwk: publicJwkOf(record),
    })),
  )
}
