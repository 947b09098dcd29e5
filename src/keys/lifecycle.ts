import type { Algorithm } from '../tokens/algorithms.ts'

/**
 * Computes when each signing key is published, signs, retires and is removed (invariant 5). The
 * result depends on the keys in the store, the policy and the time only, so replicas agree without
 * talking to each other. The other keys activate as if a revoked key did not exist.
 */

/** The public facts about a signing key. */
export interface KeyInfo {
  /** Name in the store. The first insert of a name wins. */
  readonly name: string
  /** RFC 7638 SHA-256 thumbprint; the `kid` of every token that the key signs. */
  readonly kid: string
  readonly alg: Algorithm
  readonly createdAtMs: number
  /** The key signs from this instant until a later key activates. */
  readonly activateAtMs: number
  /** Null for a key that is not revoked. */
  readonly revokedAtMs: number | null
}

/** Copies the public facts of a key and leaves out its private half. */
export function keyInfo(key: KeyInfo): KeyInfo {
  const { name, kid, alg, createdAtMs, activateAtMs, revokedAtMs } = key
  return { name, kid, alg, createdAtMs, activateAtMs, revokedAtMs }
}

/** The four durations that determine a key's lifecycle, in milliseconds. */
export interface KeyPolicy {
  /** How long a key signs. */
  readonly rotationMs: number
  /** How long a verifier may use a copy of the JWKS. */
  readonly jwksMaxAgeMs: number
  /** Largest difference between the clocks of any two processes. */
  readonly clockSkewMs: number
  /** Lifetime of an access token. */
  readonly accessTtlMs: number
}

/**
 * `pending`: published, does not sign yet. `active`: published, signs. `retiring`: published, has
 * stopped signing. `removed` and `revoked`: neither published nor used for signing.
 */
export type KeyState = 'pending' | 'active' | 'retiring' | 'removed' | 'revoked'

/** A key with its state at one instant. */
export interface KeyStatus extends KeyInfo {
  readonly state: KeyState
  /** Null while no other key follows this key. */
  readonly removedAtMs: number | null
}

/** A key that has to be created. */
export type NewKey = Pick<KeyInfo, 'name' | 'alg' | 'activateAtMs'>

/** Within this time every replica notices a key that was added to the store. */
export function noticeMs(policy: KeyPolicy): number {
  return Math.min(Math.max(Math.ceil(policy.jwksMaxAgeMs / 10), 200), 5_000)
}

/**
 * How long a key is in the store before it signs. By then every replica has noticed the key, and every
 * copy of a JWKS without the key has expired by any clock.
 */
export function leadMs(policy: KeyPolicy): number {
  return policy.jwksMaxAgeMs + policy.clockSkewMs + noticeMs(policy)
}

/** Keys that are retiring at the same time. Verifiers refuse a JWKS of more than 64 keys or 64 KiB. */
const maxRetiringKeys = 16

/** A manual rotation must leave room in the JWKS for the keys of epochs, and for replacements. */
export const maxKeysBeforeRotation = 24

/** Lists the problems of a policy, one sentence each. Empty if the policy can be kept. */
export function keyPolicyProblems(policy: KeyPolicy): string[] {
  const { rotationMs, jwksMaxAgeMs, clockSkewMs, accessTtlMs } = policy
  const seconds = (ms: number) => `${ms / 1000} s`
  const problems: string[] = []
  if (rotationMs <= leadMs(policy)) {
    problems.push(
      `The key rotation period of ${seconds(rotationMs)} must be longer than the ` +
        `${seconds(leadMs(policy))} that a key is published before it signs: JWKS max-age ` +
        `${seconds(jwksMaxAgeMs)}, clock skew ${seconds(clockSkewMs)}, and ` +
        `${seconds(noticeMs(policy))} until every replica has noticed the key.`,
    )
  }
  if (accessTtlMs > maxRetiringKeys * rotationMs) {
    problems.push(
      `The access-token lifetime of ${seconds(accessTtlMs)} must be at most ${maxRetiringKeys} key ` +
        `rotation periods of ${seconds(rotationMs)}: a key is published until its tokens expire, and ` +
        'verifiers refuse too many keys.',
    )
  }
  return problems
}

/** Returns the number of the rotation period that a time falls into. */
export function epochOf(timeMs: number, policy: KeyPolicy): number {
  return Math.floor(timeMs / policy.rotationMs)
}

/**
 * Sorts keys by activation. Of keys that activate together the newest signs, so that the replacement
 * of a revoked key comes first; `kid` breaks the remaining ties, so that all replicas agree.
 */
export function sortByActivation<Key extends KeyInfo>(keys: readonly Key[]): Key[] {
  return keys.toSorted(
    (a, b) =>
      a.activateAtMs - b.activateAtMs || a.createdAtMs - b.createdAtMs || (a.kid < b.kid ? -1 : 1),
  )
}

export function withoutRevoked<Key extends KeyInfo>(keys: readonly Key[]): Key[] {
  return keys.filter((key) => key.revokedAtMs === null)
}

/**
 * Returns the key that signs.
 *
 * Before the first activation, the key that activates first signs. This happens if the clock was
 * set back or the preceding key was lost. The key's first tokens may need a fresh JWKS.
 *
 * @param keys sorted by activation
 */
export function activeKey<Key extends KeyInfo>(
  keys: readonly Key[],
  nowMs: number,
): Key | undefined {
  const candidates = withoutRevoked(keys)
  return candidates.findLast((key) => key.activateAtMs <= nowMs) ?? candidates[0]
}

/**
 * Returns when a key leaves the JWKS: when its last token has expired by every clock, or when it was
 * revoked. Null for the last key.
 *
 * @param keys all keys of the store, sorted by activation
 */
export function removedAtMs(
  key: KeyInfo,
  keys: readonly KeyInfo[],
  policy: KeyPolicy,
): number | null {
  if (key.revokedAtMs !== null) return key.revokedAtMs
  const candidates = withoutRevoked(keys)
  const next = candidates[candidates.findIndex(({ kid }) => kid === key.kid) + 1]
  return next ? takenOverMs(next, policy) + policy.accessTtlMs + policy.clockSkewMs : null
}

/**
 * Returns when a key signs on every replica and its predecessor on none. Every replica knows an
 * announced key before its activation. A replacement is not announced: it takes over where it is
 * noticed, and `createdAtMs` is by a clock that may be behind.
 */
function takenOverMs(key: KeyInfo, policy: KeyPolicy): number {
  return Math.max(key.activateAtMs, key.createdAtMs + noticeMs(policy) + policy.clockSkewMs)
}

/** @param keys all keys of the store, sorted by activation */
export function keyState(
  key: KeyInfo,
  keys: readonly KeyInfo[],
  policy: KeyPolicy,
  nowMs: number,
): KeyState {
  if (key.revokedAtMs !== null) return 'revoked'
  if (key.kid === activeKey(keys, nowMs)?.kid) return 'active'
  if (key.activateAtMs > nowMs) return 'pending'
  return nowMs < (removedAtMs(key, keys, policy) ?? Infinity) ? 'retiring' : 'removed'
}

/** @param keys all keys of the store, sorted by activation */
export function keyStatuses(
  keys: readonly KeyInfo[],
  policy: KeyPolicy,
  nowMs: number,
): KeyStatus[] {
  return keys.map((key) => ({
    ...keyInfo(key),
    state: keyState(key, keys, policy, nowMs),
    removedAtMs: removedAtMs(key, keys, policy),
  }))
}

/** Returns the interval around `nowMs`, end excluded, in which no key changes its state. */
export function stableInterval(
  keys: readonly KeyInfo[],
  policy: KeyPolicy,
  nowMs: number,
): { fromMs: number; untilMs: number } {
  const changes = withoutRevoked(keys).flatMap((key) => [
    key.activateAtMs,
    removedAtMs(key, keys, policy) ?? Infinity,
  ])
  return {
    fromMs: Math.max(-Infinity, ...changes.filter((change) => change <= nowMs)),
    untilMs: Math.min(Infinity, ...changes.filter((change) => change > nowMs)),
  }
}

/**
 * Returns the keys that the store may delete: removed, or revoked for as long as they would be
 * retiring, and one more token lifetime to be safe.
 */
export function deletableKeys<Key extends KeyInfo>(
  keys: readonly Key[],
  policy: KeyPolicy,
  nowMs: number,
): Key[] {
  const beforeMs = nowMs - policy.accessTtlMs
  return keys.filter((key) =>
    key.revokedAtMs === null
      ? keyState(key, keys, policy, beforeMs) === 'removed'
      : key.revokedAtMs + policy.accessTtlMs + policy.clockSkewMs <= beforeMs,
  )
}

/**
 * Returns the key that is due and missing in the store, or null.
 *
 * The store accepts each name (a rotation period and an algorithm) once. A replica that returns to
 * an algorithm within the period waits until the first key of the name is deleted.
 *
 * @param keys all keys of the store
 */
export function dueKey(
  keys: readonly KeyInfo[],
  alg: Algorithm,
  policy: KeyPolicy,
  nowMs: number,
): NewKey | null {
  const sorted = sortByActivation(withoutRevoked(keys))
  if (sorted.length === 0) {
    // The first key signs at once. All replicas of this rotation period derive the same key.
    const epoch = epochOf(nowMs, policy)
    return { name: epochName(epoch, alg, keys), alg, activateAtMs: epoch * policy.rotationMs }
  }
  // No new key may sign earlier, whatever its period: the service may have been down.
  const earliestMs = nowMs + leadMs(policy)
  // Looks ahead by one poll: a poll just before the limit must not be the last chance of a period.
  const epoch = epochOf(earliestMs + noticeMs(policy), policy)
  const dueMs = Math.max(epoch * policy.rotationMs, earliestMs)

  const previous = sorted.findLast((key) => key.activateAtMs <= dueMs)
  if (previous?.alg === alg && epochOf(previous.activateAtMs, policy) >= epoch) return null
  const name = epochName(epoch, alg, keys)
  if (keys.some((key) => key.name === name)) return null
  // Of two keys that activate together, the key of the wrong algorithm could sign.
  return { name, alg, activateAtMs: Math.max(dueMs, (previous?.activateAtMs ?? 0) + 1) }
}

/**
 * Returns the key of a manual rotation. It activates as early as possible; the rotation periods do
 * not change.
 */
export function manualKey(alg: Algorithm, policy: KeyPolicy, nowMs: number): NewKey {
  const activateAtMs = nowMs + leadMs(policy)
  return { name: `manual-${activateAtMs}-${alg}`, alg, activateAtMs }
}

/**
 * Returns the key that must sign in place of a key that is about to be revoked. Null if that key
 * signs nowhere and will not before every replica knows.
 *
 * Its name depends on the revoked key only, so a repeated revocation creates one replacement.
 *
 * @param keys all keys of the store
 */
export function replacementKey(
  kid: string,
  keys: readonly KeyInfo[],
  alg: Algorithm,
  policy: KeyPolicy,
  nowMs: number,
): NewKey | null {
  const sorted = sortByActivation(withoutRevoked(keys))
  const key = sorted.find((one) => one.kid === kid)
  if (key === undefined || !maySign(key, sorted, policy, nowMs)) return null
  // Active at once by the slowest clock, but not before the revoked key: otherwise a replica could
  // return to an older key that another replica is about to remove.
  const activateAtMs = Math.max(nowMs - policy.clockSkewMs, key.activateAtMs)
  return { name: `after-${kid}`, alg, activateAtMs }
}

/** Tells whether a replica signs with a key by its clock, or will before it notices a change. */
function maySign(
  key: KeyInfo,
  sorted: readonly KeyInfo[],
  policy: KeyPolicy,
  nowMs: number,
): boolean {
  if (key.kid === activeKey(sorted, nowMs)?.kid) return true
  const next = sorted[sorted.indexOf(key) + 1]
  return (
    key.activateAtMs <= nowMs + policy.clockSkewMs + noticeMs(policy) &&
    (next === undefined || next.activateAtMs > nowMs - policy.clockSkewMs)
  )
}

/** The name of a revoked key is not used again. */
function epochName(epoch: number, alg: Algorithm, keys: readonly KeyInfo[]): string {
  const name = `epoch-${epoch}-${alg}`
  const used = keys.filter((key) => key.revokedAtMs !== null && key.name.startsWith(name)).length
  return used === 0 ? name : `${name}-${used + 1}`
}
