import type { Algorithm } from '../tokens/algorithms.ts'
import { epochOf, inTurn, type KeyPolicy, leadMs, pollMs } from './schedule.ts'
import type { KeyInfo } from './store.ts'

/** A key that is to be made. */
export interface PlannedKey {
  readonly name: string
  readonly alg: Algorithm
  readonly activateAtMs: number
}

/**
 * The key that should be in the store by now and is not; null when all is there.
 *
 * Every replica plans the same name and the store takes it once. An epoch has one name for each
 * algorithm, so replicas with different settings (a rolling restart) don't outdo one another: one
 * that is set back within the epoch waits until the first key of its name is forgotten.
 *
 * @param keys all of the store
 */
export function plannedKey(
  keys: readonly KeyInfo[],
  alg: Algorithm,
  policy: KeyPolicy,
  nowMs: number,
): PlannedKey | null {
  if (keys.length === 0) {
    // The very first: it signs at once, and this is the same for all who plan it in this epoch.
    const epoch = epochOf(nowMs, policy)
    return { name: epochName(epoch, alg), alg, activateAtMs: epoch * policy.rotationMs }
  }
  // No key made from now on may sign before this, whatever its epoch: service may have been down.
  const earliestMs = nowMs + leadMs(policy)
  // One poll ahead of that, so that a look just before is not the last one in time for an epoch.
  const epoch = epochOf(earliestMs + pollMs(policy), policy)
  const dueMs = Math.max(epoch * policy.rotationMs, earliestMs)

  const before = inTurn(keys).findLast((key) => key.activateAtMs <= dueMs)
  if (before?.alg === alg && epochOf(before.activateAtMs, policy) >= epoch) return null
  const name = epochName(epoch, alg)
  if (keys.some((key) => key.name === name)) return null
  // A tie would go by kid, and a key of the wrong algorithm could win it.
  return { name, alg, activateAtMs: Math.max(dueMs, (before?.activateAtMs ?? 0) + 1) }
}

/** The key of a rotation by hand, as soon as can be. The epochs go on as if it had not been. */
export function manualKey(alg: Algorithm, policy: KeyPolicy, nowMs: number): PlannedKey {
  const activateAtMs = nowMs + leadMs(policy)
  return { name: `manual-${activateAtMs}-${alg}`, alg, activateAtMs }
}

function epochName(epoch: number, alg: Algorithm): string {
  return `epoch-${epoch}-${alg}`
}
