import type { KeyObject } from 'node:crypto'
import type { JWK } from 'jose'
import type { Clock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import { digestText } from '../core/secrets.ts'
import { SingleFlight } from '../core/single-flight.ts'
import type { Algorithm } from '../tokens/algorithms.ts'
import type { SigningKey } from '../tokens/signing.ts'
import { type DecryptedKey, EncryptedKeyStore, type KeySecrets } from './encrypted-key-store.ts'
import { generateKey, importPrivateKey, type KeyRecord, publicJwkOf } from './key-record.ts'
import type { KeyStore } from './key-store.ts'
import {
  activeKey,
  deletableKeys,
  dueKey,
  type KeyInfo,
  type KeyPolicy,
  type KeyStatus,
  keyInfo,
  keyState,
  keyStatuses,
  manualKey,
  maxKeysBeforeRotation,
  type NewKey,
  noticeMs,
  replacementKey,
  sortByActivation,
  stableInterval,
  withoutRevoked,
} from './lifecycle.ts'

export interface KeyManagerOptions {
  /** Closed together with the manager. */
  readonly store: KeyStore
  /** Secrets that encrypt private keys, newest first. */
  readonly secrets: KeySecrets
  /** Algorithm of new keys. Existing keys keep their algorithm. */
  readonly algorithm: Algorithm
  readonly policy: KeyPolicy
  readonly clock: Clock
  /** Determines which keys are deleted. Default: `clock`. */
  readonly expiryClock?: Clock
  /** Receives audit events. Must not throw. */
  readonly onChange?: (event: KeyEvent) => void
}

/**
 * Manages the signing keys of one replica: maintains the store in the background, answers from memory.
 * Each call computes by the clock which key signs and which are published, so a key activates on time
 * even if the store is unavailable.
 */
export class KeyManager {
  readonly #options: Omit<KeyManagerOptions, 'store' | 'secrets'>
  readonly #store: EncryptedKeyStore
  #keys: readonly LoadedKey[] = []
  #snapshot: KeySnapshot
  readonly #maintenance = new SingleFlight(() => this.#maintain())
  #timer: NodeJS.Timeout | undefined

  private constructor({ store, secrets, ...options }: KeyManagerOptions) {
    this.#options = options
    this.#store = new EncryptedKeyStore(store, secrets)
    this.#snapshot = snapshotAt([], options.policy, options.clock.nowMs(), null)
  }

  /**
   * Loads the keys and creates the missing ones.
   * @throws `key_store_invalid`, `store_unavailable`
   */
  static async open(options: KeyManagerOptions): Promise<KeyManager> {
    const manager = new KeyManager(options)
    try {
      await manager.#maintain()
    } catch (error) {
      await manager.close()
      throw error
    }
    // Reads twice per notice interval, which leaves the second half for the read itself.
    const intervalMs = noticeMs(options.policy) / 2
    manager.#timer = setInterval(() => manager.refresh(), intervalMs).unref()
    return manager
  }

  /** The error of the last store access, or null. For readiness. */
  get lastError(): Error | null {
    return this.#maintenance.lastError
  }

  /** @throws `keys_unavailable` if there is no key at all */
  signingKey(): SigningKey {
    const { signing } = this.#current()
    if (signing === null) throw new GatepassError('keys_unavailable', { retryAfterSeconds: 1 })
    return signing
  }

  /** Returns the JWKS to publish. The same object as long as it has the same keys. */
  jwks(): PublishedJwks {
    return this.#current().jwks
  }

  /** Returns the keys of `jwks()`, for a verifier in the same process. */
  publicKeys(): KeySnapshot['publicKeys'] {
    return this.#current().publicKeys
  }

  /** Lists all keys of the store, sorted by activation. */
  list(): KeyStatus[] {
    const { policy, clock } = this.#options
    return keyStatuses(this.#keys, policy, clock.nowMs())
  }

  /** Reads the store. Never rejects: on failure the keys stay and `lastError` says why. */
  refresh(): Promise<void> {
    return this.#maintenance.run()
  }

  /** Like `refresh`, with a read that starts after this call. */
  refreshNow(): Promise<void> {
    return this.#maintenance.runAgain()
  }

  /**
   * Creates a key outside the schedule. It signs after the lead time, like any other key.
   * @throws `store_unavailable`; `config_invalid` if too many keys are published
   */
  async rotate(): Promise<KeyStatus> {
    const { algorithm, policy } = this.#options
    if (this.publicKeys().length >= maxKeysBeforeRotation) {
      const detail =
        `There are ${maxKeysBeforeRotation} published keys, and verifiers refuse a JWKS with too many. ` +
        'Wait until a key is removed: "gatepass keys list" shows when.'
      throw new GatepassError('config_invalid', { detail })
    }
    const created = await this.#create((nowMs) => manualKey(algorithm, policy, nowMs))
    await this.refreshNow()
    return this.#statusOf(({ name }) => name === created?.name)
  }

  /**
   * Revokes a compromised key. If the key signs, a replacement signs at once and is not announced.
   * Revoking a key twice changes nothing.
   *
   * @returns null if there is no key with this `kid`
   * @throws `store_unavailable`; the completed steps stay, and the call can be repeated
   */
  async revoke(kid: string): Promise<KeyStatus | null> {
    const { algorithm, policy, clock } = this.#options
    await this.refreshNow()
    const key = this.#keys.find((one) => one.kid === kid)
    if (key === undefined) return null
    if (key.revokedAtMs === null) {
      // The replacement is inserted first: at every instant some key may sign.
      await this.#create((nowMs) => replacementKey(kid, this.#keys, algorithm, policy, nowMs))
      await this.#store.revoke(kid, clock.nowMs())
      await this.refreshNow()
    }
    return this.#statusOf((status) => status.kid === kid && status.state === 'revoked')
  }

  /** Stops the background maintenance and closes the store. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#maintenance.settled()
    await this.#store.close()
  }

  /** The status after a change. If the key is absent, reading the store has failed. */
  #statusOf(isMeant: (status: KeyStatus) => boolean): KeyStatus {
    const status = this.list().find(isMeant)
    if (status === undefined) {
      throw this.#maintenance.lastError ?? new GatepassError('store_unavailable')
    }
    return status
  }

  /** Reads the keys, creates the key that is due, and re-encrypts and deletes old records. */
  async #maintain(): Promise<void> {
    const { algorithm, policy, clock, expiryClock = clock } = this.#options
    const stored = await this.#read()
    this.#adopt(stored)
    const created = await this.#create((nowMs) => dueKey(this.#keys, algorithm, policy, nowMs))
    if (created !== null) this.#adopt(await this.#read())
    await this.#store.reencrypt(stored)
    for (const { name } of deletableKeys(this.#keys, policy, expiryClock.nowMs())) {
      await this.#store.remove(name)
    }
  }

  /** Reads the keys. Records a known revocation again that the store has lost, as a fail-over may do. */
  async #read(): Promise<DecryptedKey[]> {
    let stored = await this.#store.list()
    for (const { kid, revokedAtMs } of this.#keys) {
      const isLost = stored.some((one) => one.kid === kid && one.revokedAtMs === null)
      if (revokedAtMs === null || !isLost) continue
      await this.#store.revoke(kid, revokedAtMs)
      stored = await this.#store.list()
    }
    return stored
  }

  /**
   * Generates a key and inserts it. If another replica was faster, the key of that replica is used.
   *
   * @param decide returns null if no key is needed. Called again after the generation, which takes a
   *   while for RSA: the lead time counts from publication
   */
  async #create(decide: (nowMs: number) => NewKey | null): Promise<NewKey | null> {
    const { algorithm, clock, onChange } = this.#options
    if (decide(clock.nowMs()) === null) return null
    const generated = await generateKey(algorithm)
    const createdAtMs = clock.nowMs()
    const key = decide(createdAtMs)
    if (key === null) return null
    const record = { ...key, ...generated, createdAtMs, revokedAtMs: null }
    if (await this.#store.insertIfAbsent(record)) {
      onChange?.({ name: 'key.created', kid: generated.kid })
    }
    return key
  }

  #adopt(records: readonly KeyRecord[]): void {
    if (records.length === 0 && this.#keys.length > 0) {
      // A lost store (an unmounted folder), not a new one: a new key would invalidate every token.
      throw new GatepassError('key_store_invalid', { detail: 'The key store has lost its keys.' })
    }
    this.#keys = loadKeys(records, this.#keys)
    this.#updateSnapshot()
  }

  #current(): KeySnapshot {
    const nowMs = this.#options.clock.nowMs()
    const { fromMs, untilMs } = this.#snapshot
    if (nowMs < fromMs || nowMs >= untilMs) this.#updateSnapshot()
    return this.#snapshot
  }

  #updateSnapshot(): void {
    const { policy, clock, onChange } = this.#options
    const previous = this.#snapshot
    this.#snapshot = snapshotAt(this.#keys, policy, clock.nowMs(), previous)
    for (const event of eventsBetween(previous, this.#snapshot)) onChange?.(event)
  }
}

/** Imports the private keys, except those that are loaded already. */
function loadKeys(records: readonly KeyRecord[], loaded: readonly LoadedKey[]): LoadedKey[] {
  const imported = new Map(loaded.map(({ kid, key }) => [kid, key]))
  return sortByActivation(
    records.map((record) => ({
      ...keyInfo(record),
      key: imported.get(record.kid) ?? importPrivateKey(record),
      publicJwk: publicJwkOf(record),
    })),
  )
}

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
  const etag = `"${digestText(body)}"`
  return { publicKeys, jwks: { body, etag, maxAgeSeconds: Math.floor(policy.jwksMaxAgeMs / 1000) } }
}
