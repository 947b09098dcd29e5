import { createHash, type KeyObject } from 'node:crypto'
import type { JWK } from 'jose'
import type { SigningKey } from '../tokens/sign.ts'
import { activeKey, type KeyPolicy, keyState, steadyTime, trusted } from './schedule.ts'
import type { KeyInfo } from './store.ts'

/** A key as a replica holds it: ready to sign, and its public half ready to be published. */
export interface RingKey extends KeyInfo {
  readonly key: KeyObject
  readonly publicJwk: JWK
}

/**
 * Something to note down. `key.created`: this process put a new key into the store.
 * `key.activated`: this process signs with it from now on. `key.removed`: this process publishes it
 * no more. `key.revoked`: the same, because it was revoked.
 */
export interface KeyEvent {
  readonly name: 'key.created' | 'key.activated' | 'key.removed' | 'key.revoked'
  readonly kid: string
}

/** What `GET /.well-known/jwks.json` answers (RFC 7517 §5). */
export interface PublishedJwks {
  readonly body: string
  /** A strong entity tag (RFC 9110 §8.8.3), the same wherever the same keys are published. */
  readonly etag: string
  /** For `Cache-Control: max-age`. */
  readonly maxAge_s: number
}

/** All that the keys say for as long as none of them changes its state. */
export interface KeyView {
  readonly fromMs: number
  readonly untilMs: number
  /** Null only when there is no key at all. */
  readonly signing: SigningKey | null
  readonly publicKeys: readonly JWK[]
  readonly jwks: PublishedJwks
  /** The kids that are trusted no more. */
  readonly revoked: ReadonlySet<string>
}

/**
 * @param keys all of the store, in turn
 * @param before the view until now: what is published stays the very same object while its keys do
 */
export function viewAt(
  keys: readonly RingKey[],
  policy: KeyPolicy,
  nowMs: number,
  before: KeyView | null,
): KeyView {
  const published = trusted(keys).filter((key) => keyState(key, keys, policy, nowMs) !== 'removed')
  return {
    ...steadyTime(keys, policy, nowMs),
    signing: activeKey(keys, nowMs) ?? null,
    revoked: new Set(keys.filter((key) => key.revokedAtMs !== null).map(({ kid }) => kid)),
    ...(before !== null && publishes(before, published)
      ? { publicKeys: before.publicKeys, jwks: before.jwks }
      : publish(published, policy)),
  }
}

/** What happened between two views. */
export function eventsBetween(before: KeyView, after: KeyView): KeyEvent[] {
  const events: KeyEvent[] = []
  if (after.signing !== null && after.signing.kid !== before.signing?.kid) {
    events.push({ name: 'key.activated', kid: after.signing.kid })
  }
  const published = new Set(after.publicKeys.map(({ kid }) => kid))
  for (const { kid } of before.publicKeys) {
    if (kid === undefined || published.has(kid)) continue
    events.push({ name: after.revoked.has(kid) ? 'key.revoked' : 'key.removed', kid })
  }
  return events
}

function publishes({ publicKeys }: KeyView, keys: readonly RingKey[]): boolean {
  return (
    publicKeys.length === keys.length &&
    keys.every((key, position) => key.kid === publicKeys[position]?.kid)
  )
}

function publish(keys: readonly RingKey[], policy: KeyPolicy) {
  const publicKeys = keys.map((key) => key.publicJwk)
  const body = JSON.stringify({ keys: publicKeys })
  const etag = `"${createHash('sha256').update(body).digest('base64url')}"`
  return { publicKeys, jwks: { body, etag, maxAge_s: Math.floor(policy.jwksMaxAgeMs / 1000) } }
}
