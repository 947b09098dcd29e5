import { type KeyInfo, keyInfo } from './store.ts'

/**
 * When each key is published, signs, stops and goes (invariant 5). All of it is a pure function of
 * the keys in the store, the policy and the time, so replicas agree without a word. A revoked key
 * has no turn: the others take theirs as if it had never been.
 */

/** The four lengths that the life of a key follows from, in milliseconds. */
export interface KeyPolicy {
  /** How long a key signs. */
  readonly rotationMs: number
  /** How long a verifier may go on with a copy of the JWKS. */
  readonly jwksMaxAgeMs: number
  /** The most that the clocks of any two processes differ. */
  readonly clockSkewMs: number
  /** How long an access token is good. */
  readonly accessTtlMs: number
}

/**
 * `pending` is published and does not sign yet, `retiring` is published and signs no more. What is
 * `removed` or `revoked` is not published and does not sign.
 */
export type KeyState = 'pending' | 'active' | 'retiring' | 'removed' | 'revoked'

/** What becomes of a key, for whoever looks after them. */
export interface KeyStatus extends KeyInfo {
  readonly state: KeyState
  /** Null while no key is known to follow it. */
  readonly removedAtMs: number | null
}

/** Within how long every replica has noticed a key that was put into the store. */
export function pollMs(policy: KeyPolicy): number {
  return Math.min(Math.max(Math.ceil(policy.jwksMaxAgeMs / 10), 200), 5_000)
}

/**
 * How long a key is in the store before it signs: until each replica has noticed it, and then until
 * the last copy of a JWKS without it is too old to be used, by whichever clock.
 */
export function leadMs(policy: KeyPolicy): number {
  return policy.jwksMaxAgeMs + policy.clockSkewMs + pollMs(policy)
}

/** What is wrong with a policy, in sentences for whoever set it; nothing when it can be kept. */
export function schedulePolicyProblems(policy: KeyPolicy): string[] {
  if (policy.rotationMs > leadMs(policy)) return []
  const seconds = (ms: number) => `${ms / 1000} s`
  return [
    `The key rotation period of ${seconds(policy.rotationMs)} must be longer than the ` +
      `${seconds(leadMs(policy))} that a key is published before it signs: JWKS max-age ` +
      `${seconds(policy.jwksMaxAgeMs)}, clock skew ${seconds(policy.clockSkewMs)}, and ` +
      `${seconds(pollMs(policy))} until every replica has noticed it.`,
  ]
}

/** The number of the key epoch that a time falls into. */
export function epochOf(timeMs: number, policy: KeyPolicy): number {
  return Math.floor(timeMs / policy.rotationMs)
}

/**
 * The keys in the order of their turns. Of those that share one, the one made last signs, so that
 * what replaces a revoked key is not behind another; or it goes by `kid`, so that all replicas agree.
 */
export function inTurn<Key extends KeyInfo>(keys: readonly Key[]): Key[] {
  return keys.toSorted(
    (a, b) =>
      a.activateAtMs - b.activateAtMs || a.createdAtMs - b.createdAtMs || (a.kid < b.kid ? -1 : 1),
  )
}

/** The keys that are not revoked. */
export function trusted<Key extends KeyInfo>(keys: readonly Key[]): Key[] {
  return keys.filter((key) => key.revokedAtMs === null)
}

/**
 * The key that signs. Before the first turn of all (a clock that was set back, the key before lost)
 * it is the one whose turn comes first: its early tokens may have to wait for a fresh JWKS, but
 * without it there were none.
 *
 * @param keys in turn
 */
export function activeKey<Key extends KeyInfo>(
  keys: readonly Key[],
  nowMs: number,
): Key | undefined {
  const turns = trusted(keys)
  return turns.findLast((key) => key.activateAtMs <= nowMs) ?? turns[0]
}

/**
 * When the last token of a key has expired by every clock, so that it need not be published; null
 * for the key that none follows. A revoked key went when it was revoked.
 *
 * @param keys in turn
 */
export function removedAtMs(
  key: KeyInfo,
  keys: readonly KeyInfo[],
  policy: KeyPolicy,
): number | null {
  if (key.revokedAtMs !== null) return key.revokedAtMs
  const turns = trusted(keys)
  const next = turns[turns.findIndex(({ kid }) => kid === key.kid) + 1]
  return next ? takenOverMs(next, policy) + policy.accessTtlMs + policy.clockSkewMs : null
}

/**
 * When a key signs on every replica, and the one before it on none. One that is announced is known
 * everywhere before its turn. One in the place of a key that was revoked is not: it takes over where
 * it is noticed, and its instant of creation is by a clock that may be behind all others.
 */
function takenOverMs(key: KeyInfo, policy: KeyPolicy): number {
  return Math.max(key.activateAtMs, key.createdAtMs + pollMs(policy) + policy.clockSkewMs)
}

/** @param keys all of the store, in turn */
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

/** @param keys all of the store, in turn */
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

/** The time around `nowMs` in which no key changes its state, without the instant that ends it. */
export function steadyTime(
  keys: readonly KeyInfo[],
  policy: KeyPolicy,
  nowMs: number,
): { fromMs: number; untilMs: number } {
  const changes = trusted(keys).flatMap((key) => [
    key.activateAtMs,
    removedAtMs(key, keys, policy) ?? Infinity,
  ])
  return {
    fromMs: Math.max(-Infinity, ...changes.filter((change) => change <= nowMs)),
    untilMs: Math.min(Infinity, ...changes.filter((change) => change > nowMs)),
  }
}

/**
 * The keys that the store may forget: removed, or so long revoked as they would be retiring, and
 * for one more token life to be safe.
 */
export function forgettableKeys<Key extends KeyInfo>(
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
