import type { Algorithm } from '../tokens/algorithms.ts'
import { activeKey, epochOf, inTurn, type KeyPolicy, leadMs, pollMs, trusted } from './schedule.ts'
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
  const turns = inTurn(trusted(keys))
  if (turns.length === 0) {
    // The very first: it signs at once, and this is the same for all who plan it in this epoch.
    const epoch = epochOf(nowMs, policy)
    return { name: epochName(epoch, alg, keys), alg, activateAtMs: epoch * policy.rotationMs }
  }
  // No key made from now on may sign before this, whatever its epoch: service may have been down.
  const earliestMs = nowMs + leadMs(policy)
  // One poll ahead of that, so that a look just before is not the last one in time for an epoch.
  const epoch = epochOf(earliestMs + pollMs(policy), policy)
  const dueMs = Math.max(epoch * policy.rotationMs, earliestMs)

  const before = turns.findLast((key) => key.activateAtMs <= dueMs)
  if (before?.alg === alg && epochOf(before.activateAtMs, policy) >= epoch) return null
  const name = epochName(epoch, alg, keys)
  if (keys.some((key) => key.name === name)) return null
  // Where two share a turn, the key of the wrong algorithm could win it.
  return { name, alg, activateAtMs: Math.max(dueMs, (before?.activateAtMs ?? 0) + 1) }
}

/** The key of a rotation by hand, as soon as can be. The epochs go on as if it had not been. */
export function manualKey(alg: Algorithm, policy: KeyPolicy, nowMs: number): PlannedKey {
  const activateAtMs = nowMs + leadMs(policy)
  return { name: `manual-${activateAtMs}-${alg}`, alg, activateAtMs }
}

/**
 * The key that must sign in the place of one that is about to be revoked; null when that signs
 * nowhere, or will not before every replica knows. It is not announced: verifiers fetch the JWKS
 * when they meet it. However often a key is revoked, what takes its place has one name.
 *
 * @param keys all of the store
 */
export function replacementKey(
  kid: string,
  keys: readonly KeyInfo[],
  alg: Algorithm,
  policy: KeyPolicy,
  nowMs: number,
): PlannedKey | null {
  const turns = inTurn(trusted(keys))
  const key = turns.find((one) => one.kid === kid)
  if (key === undefined || !maySign(key, turns, policy, nowMs)) return null
  // At once by the slowest clock too, and not before the other: so wherever that has its turn, this
  // one has it, and nobody goes back to a key that others may be about to remove.
  const activateAtMs = Math.max(nowMs - policy.clockSkewMs, key.activateAtMs)
  return { name: `after-${kid}`, alg, activateAtMs }
}

/** Whether some replica signs with a key, by its clock, or does before it has noticed a change. */
function maySign(
  key: KeyInfo,
  turns: readonly KeyInfo[],
  policy: KeyPolicy,
  nowMs: number,
): boolean {
  if (key.kid === activeKey(turns, nowMs)?.kid) return true
  const next = turns[turns.indexOf(key) + 1]
  return (
    key.activateAtMs <= nowMs + policy.clockSkewMs + pollMs(policy) &&
    (next === undefined || next.activateAtMs > nowMs - policy.clockSkewMs)
  )
}

/** A name that was spent on a key that is revoked now is not used again. */
function epochName(epoch: number, alg: Algorithm, keys: readonly KeyInfo[]): string {
  const name = `epoch-${epoch}-${alg}`
  const spent = keys.filter((key) => key.revokedAtMs !== null && key.name.startsWith(name)).length
  return spent === 0 ? name : `${name}-${spent + 1}`
}
