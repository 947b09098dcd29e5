import type { Clock } from '../core/clock.ts'
import type { Algorithm } from '../tokens/algorithms.ts'
import type { PlannedKey } from './plan.ts'
import { generateKey, importPrivateKey, publicJwkOf } from './record.ts'
import { inTurn } from './schedule.ts'
import { type KeyRecord, type KeyStore, keyInfo } from './store.ts'
import type { KeyEvent, RingKey } from './view.ts'

/** What it takes to make a key and to put it into the store. */
export interface KeyMaking {
  /** Whoever opened it closes it. */
  readonly store: KeyStore
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
  { store, algorithm, clock, onChange }: KeyMaking,
  plan: (nowMs: number) => PlannedKey | null,
): Promise<PlannedKey | null> {
  const made = await generateKey(algorithm)
  const createdAtMs = clock.nowMs()
  const planned = plan(createdAtMs)
  if (planned !== null && (await store.insertIfAbsent({ ...planned, ...made, createdAtMs }))) {
    onChange?.({ name: 'key.created', kid: made.kid })
  }
  return planned
}

/**
 * All keys of the store, in turn.
 * @param known those read before, which need not be imported again
 */
export async function readKeys(store: KeyStore, known: readonly RingKey[]): Promise<RingKey[]> {
  const imported = new Map(known.map(({ kid, key }) => [kid, key]))
  const toRingKey = async (record: KeyRecord): Promise<RingKey> => ({
    ...keyInfo(record),
    key: imported.get(record.kid) ?? importPrivateKey(record),
    publicJwk: publicJwkOf(record),
  })
  return inTurn(await Promise.all((await store.list()).map(toRingKey)))
}
