import { GatepassError } from '../core/errors.ts'
import { SingleFlight } from '../core/single-flight.ts'
import type { SigningKey } from '../tokens/sign.ts'
import { manualKey, plannedKey, replacementKey } from './plan.ts'
import { forgettableKeys, type KeyPolicy, type KeyStatus, keyStatuses, pollMs } from './schedule.ts'
import type { KeyStore } from './store.ts'
import { createKey, type KeyMaking, ringKeys } from './upkeep.ts'
import { KeyVault } from './vault.ts'
import { eventsBetween, type KeyView, type PublishedJwks, type RingKey, viewAt } from './view.ts'

export interface KeyRingOptions extends Omit<KeyMaking, 'vault'> {
  /** Closed with the ring. */
  readonly store: KeyStore
  /** What private keys are encrypted under, newest first; without any they are in the clear. */
  readonly secrets?: readonly string[]
  readonly policy: KeyPolicy
}

/**
 * The signing keys of one replica: looked after in the background, answered from memory.
 *
 * What signs and what is published is decided by the clock at each call, so a key's turn comes at
 * its instant, whether or not the store can be reached then.
 */
export class KeyRing {
  readonly #options: KeyMaking & { readonly policy: KeyPolicy }
  #keys: readonly RingKey[] = []
  #view: KeyView
  readonly #look = new SingleFlight(() => this.#load())
  #timer: NodeJS.Timeout | undefined

  private constructor({ store, secrets = [], ...options }: KeyRingOptions) {
    this.#options = { ...options, vault: new KeyVault(store, secrets) }
    this.#view = viewAt([], options.policy, options.clock.nowMs(), null)
  }

  /**
   * Loads the keys and makes those that are missing.
   * @throws `key_store_invalid`, `store_unavailable`
   */
  static async open(options: KeyRingOptions): Promise<KeyRing> {
    const ring = new KeyRing(options)
    try {
      await ring.#load()
    } catch (error) {
      await ring.close()
      throw error
    }
    // Twice as often as is promised, which leaves the other half for the look itself.
    ring.#timer = setInterval(() => ring.refresh(), pollMs(options.policy) / 2).unref()
    return ring
  }

  /** What went wrong when the store was last looked at; null when nothing did. For readiness. */
  get lastError(): Error | null {
    return this.#look.lastError
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
    return this.#look.run()
  }

  /** Like `refresh`, by a look that begins after this call: one under way may be too early. */
  async refreshAnew(): Promise<void> {
    await this.#look.settled()
    await this.refresh()
  }

  /**
   * Makes a new key out of turn. It signs after the lead, like any other.
   * @throws `store_unavailable`
   */
  async rotate(): Promise<KeyStatus> {
    const { algorithm, policy } = this.#options
    const planned = await createKey(this.#options, (nowMs) => manualKey(algorithm, policy, nowMs))
    await this.refreshAnew()
    return this.#known(({ name }) => name === planned?.name)
  }

  /**
   * Takes a compromised key out for good. If it is the one that signs, a new one signs at once; it
   * is not announced, for this is an emergency. A key that is revoked already stays as it is.
   *
   * @returns null when there is no key of this id
   * @throws `store_unavailable`; what it has done by then stays, and it can be called again
   */
  async revoke(kid: string): Promise<KeyStatus | null> {
    const { algorithm, policy, clock, vault } = this.#options
    await this.refreshAnew()
    const key = this.#keys.find((one) => one.kid === kid)
    if (key === undefined) return null
    if (key.revokedAtMs === null) {
      const plan = (nowMs: number) => replacementKey(kid, this.#keys, algorithm, policy, nowMs)
      // The new one first: at no time is there none that may sign.
      if (plan(clock.nowMs()) !== null) await createKey(this.#options, plan)
      await vault.revoke(kid, clock.nowMs())
      await this.refreshAnew()
    }
    return this.#known((status) => status.kid === kid && status.state === 'revoked')
  }

  /** Stops looking at the store, and closes it. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#look.settled()
    await this.#options.vault.close()
  }

  /** The key as it is after a change; if it is not there, the look at the store has failed. */
  #known(isMeant: (status: KeyStatus) => boolean): KeyStatus {
    const status = this.list().find(isMeant)
    if (status === undefined) throw this.#look.lastError ?? new GatepassError('store_unavailable')
    return status
  }

  async #load(): Promise<void> {
    const { vault, algorithm, policy, clock } = this.#options
    const stored = await vault.list()
    this.#adopt(ringKeys(stored, this.#keys))
    const plan = (nowMs: number) => plannedKey(this.#keys, algorithm, policy, nowMs)
    if (plan(clock.nowMs()) !== null) {
      await createKey(this.#options, plan)
      this.#adopt(ringKeys(await vault.list(), this.#keys))
    }
    await vault.sealAnew(stored)
    for (const { name } of forgettableKeys(this.#keys, policy, clock.nowMs())) {
      await vault.remove(name)
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
