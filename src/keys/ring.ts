import { GatepassError } from '../core/errors.ts'
import type { SigningKey } from '../tokens/sign.ts'
import { manualKey, plannedKey } from './plan.ts'
import { forgettableKeys, type KeyPolicy, type KeyStatus, keyStatuses, pollMs } from './schedule.ts'
import { createKey, type KeyMaking, readKeys } from './upkeep.ts'
import { eventsBetween, type KeyView, type PublishedJwks, type RingKey, viewAt } from './view.ts'

export interface KeyRingOptions extends KeyMaking {
  readonly policy: KeyPolicy
}

/**
 * The signing keys of one replica: looked after in the background, answered from memory.
 *
 * What signs and what is published is decided by the clock at each call, so a key's turn comes at
 * its instant, whether or not the store can be reached then.
 */
export class KeyRing {
  readonly #options: KeyRingOptions
  #keys: readonly RingKey[] = []
  #view: KeyView
  #refreshing: Promise<void> | null = null
  #lastError: Error | null = null
  #timer: NodeJS.Timeout | undefined

  private constructor(options: KeyRingOptions) {
    this.#options = options
    this.#view = viewAt([], options.policy, options.clock.nowMs(), null)
  }

  /**
   * Loads the keys and makes those that are missing.
   * @throws `key_store_invalid`, `store_unavailable`
   */
  static async open(options: KeyRingOptions): Promise<KeyRing> {
    const ring = new KeyRing(options)
    await ring.#load()
    // Twice as often as is promised, which leaves the other half for the look itself.
    ring.#timer = setInterval(() => ring.refresh(), pollMs(options.policy) / 2).unref()
    return ring
  }

  /** What went wrong when the store was last looked at; null when nothing did. For readiness. */
  get lastError(): Error | null {
    return this.#lastError
  }

  /** @throws `keys_unavailable` when there is no key at all */
  signingKey(): SigningKey {
    const { signing } = this.#current()
    if (signing === null) throw new GatepassError('keys_unavailable')
    return signing
  }

  /** The key set to publish. The same object for as long as the same keys are in it. */
  jwks(): PublishedJwks {
    return this.#current().jwks
  }

  /** The keys of `jwks()`, for a verifier in the same process. */
  publicKeys(): KeyView['publicKeys'] {
    return this.#current().publicKeys
  }

  /** Every key in the store, in turn. */
  list(): KeyStatus[] {
    const { policy, clock } = this.#options
    return keyStatuses(this.#keys, policy, clock.nowMs())
  }

  /** Looks at the store now. Never rejects: the keys stay what they were, `lastError` says why. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#load()
      .then(
        () => {
          this.#lastError = null
        },
        (error: Error) => {
          this.#lastError = error
        },
      )
      .finally(() => {
        this.#refreshing = null
      })
    return this.#refreshing
  }

  /**
   * Makes a new key out of turn. It signs after the lead, like any other.
   * @throws `store_unavailable`
   */
  async rotate(): Promise<KeyStatus> {
    const { algorithm, policy } = this.#options
    const planned = await createKey(this.#options, (nowMs) => manualKey(algorithm, policy, nowMs))
    // A look that is under way may have been too early for the new key.
    await this.#refreshing
    await this.refresh()
    const status = this.list().find(({ name }) => name === planned?.name)
    if (status === undefined) throw this.#lastError ?? new GatepassError('store_unavailable')
    return status
  }

  /** Stops looking at the store. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#refreshing
  }

  async #load(): Promise<void> {
    const { store, algorithm, policy, clock } = this.#options
    this.#adopt(await readKeys(store, this.#keys))
    const plan = (nowMs: number) => plannedKey(this.#keys, algorithm, policy, nowMs)
    if (plan(clock.nowMs()) !== null) {
      await createKey(this.#options, plan)
      this.#adopt(await readKeys(store, this.#keys))
    }
    for (const { name } of forgettableKeys(this.#keys, policy, clock.nowMs())) {
      await store.remove(name)
    }
  }

  #adopt(keys: readonly RingKey[]): void {
    if (keys.length === 0 && this.#keys.length > 0) {
      // Not a new store but a lost one (an unmounted folder): a new key would refuse every token.
      throw new GatepassError('key_store_invalid', { detail: 'The key store has lost its keys.' })
    }
    this.#keys = keys
    this.#show()
  }

  /** The view of this instant. */
  #current(): KeyView {
    const nowMs = this.#options.clock.nowMs()
    if (nowMs < this.#view.fromMs || nowMs >= this.#view.untilMs) this.#show()
    return this.#view
  }

  #show(): void {
    const { policy, clock, onChange } = this.#options
    const before = this.#view
    this.#view = viewAt(this.#keys, policy, clock.nowMs(), before)
    for (const event of eventsBetween(before, this.#view)) onChange?.(event)
  }
}
