import { createHash, type KeyObject } from 'node:crypto'
import type { JWK } from 'jose'
import type { SigningKey } from '../tokens/signing.ts'
import type { KeyInfo } from './key-store.ts'
import { activeKey, type KeyPolicy, keyState, stableInterval, withoutRevoked } from './lifecycle.ts'

/** A key in memory, with its public half ready for the JWKS. */
export interface LoadedKey extends KeyInfo {
  readonly key: KeyObject
  readonly publicJwk: JWK
}

/**
 * An audit event. `key.created`: this process added a key to the store. `key.activated`: this
 * process starts to sign with the key. `key.removed` and `key.revoked`: this process stops
 * publishing the key.
 */
export interface KeyEvent {
  readonly name: 'key.created' | 'key.activated' | 'key.removed' | 'key.revoked'
  readonly kid: string
}

/** The response of `GET /.well-known/jwks.json` (RFC 7517 §5). */
export interface PublishedJwks {
  readonly body: string
  /** A strong entity tag (RFC 9110 §8.8.3). Equal on every replica that publishes the same keys. */
  readonly etag: string
  /** For `Cache-Control: max-age`, in seconds. */
  readonly maxAgeSeconds: number
}

/** The signing key and the JWKS of an interval in which no key changes its state. */
export interface KeySnapshot {
  readonly fromMs: number
  readonly untilMs: number
  /** Null only if there is no key at all. */
  readonly signing: SigningKey | null
  readonly publicKeys: readonly JWK[]
  readonly jwks: PublishedJwks
  readonly revokedKids: ReadonlySet<string>
}

/**
 * Computes the snapshot of an instant.
 *
 * @param keys all keys of the store, sorted by activation
 * @param previous while the same keys are published, its `jwks` object is reused
 */
export function snapshotAt(
  keys: readonly LoadedKey[],
  policy: KeyPolicy,
  nowMs: number,
  previous: KeySnapshot | null,
): KeySnapshot {
  const published = withoutRevoked(keys).filter(
    (key) => keyState(key, keys, policy, nowMs) !== 'removed',
  )
  return {
    ...stableInterval(keys, policy, nowMs),
    signing: activeKey(keys, nowMs) ?? null,
    revokedKids: new Set(keys.filter((key) => key.revokedAtMs !== null).map(({ kid }) => kid)),
    ...(previous !== null && hasSameKeys(previous, published)
      ? { publicKeys: previous.publicKeys, jwks: previous.jwks }
      : publish(published, policy)),
  }
}

/** Lists what changed between two snapshots. */
export function eventsBetween(previous: KeySnapshot, next: KeySnapshot): KeyEvent[] {
  const events: KeyEvent[] = []
  if (next.signing !== null && next.signing.kid !== previous.signing?.kid) {
    events.push({ name: 'key.activated', kid: next.signing.kid })
  }
  const published = new Set(next.publicKeys.map(({ kid }) => kid))
  for (const { kid } of previous.publicKeys) {
    if (kid === undefined || published.has(kid)) continue
    events.push({ name: next.revokedKids.has(kid) ? 'key.revoked' : 'key.removed', kid })
  }
  return events
}

function hasSameKeys({ publicKeys }: KeySnapshot, keys: readonly LoadedKey[]): boolean {
  return (
    publicKeys.length === keys.length &&
    keys.every((key, position) => key.kid === publicKeys[position]?.kid)
  )
}

function publish(keys: readonly LoadedKey[], policy: KeyPolicy) {
  const publicKeys = keys.map((key) => key.publicJwk)
  const body = JSON.stringify({ keys: publicKeys })
  const etag = `"${createHash('sha256').update(body).digest('base64url')}"`
  return { publicKeys, jwks: { body, etag, maxAgeSeconds: Math.floor(policy.jwksMaxAgeMs / 1000) } }
}
