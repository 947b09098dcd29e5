import { createSecretKey, type KeyObject } from 'node:crypto'
import { GatepassError } from '../../core/errors.ts'
import { hmac, hmacText } from '../../core/secrets.ts'
import type { CounterStore } from '../../stores/counter-store.ts'
import { Backoff, type Taken } from './backoff.ts'
import { DeviceTokens } from './device-tokens.ts'
import { networksOf } from './network.ts'
import { PerKeyQueue } from './per-key-queue.ts'
import { type LimitName, limitRules } from './rules.ts'

/** Who tries to sign in, as far as it is known before the password is looked at. */
export interface Attempter {
  /** The login name in its stored form. Whether there is an account of this name plays no part. */
  readonly name: string
  /** The IP address that the attempt comes from. */
  readonly address: string
  readonly deviceToken: string | undefined
}

/** An attempt that may go on to the password. It counts as a failure unless it is settled. */
export interface Attempt {
  /** The limits that make the next attempt wait, should this one have failed. */
  readonly exhausted: readonly Exhausted[]
  /** The password was right; what failed before it no longer counts against its user. */
  succeeded(): Promise<void>
  /** The password was never looked at. */
  abandoned(): Promise<void>
}

export interface Exhausted {
  readonly limit: LimitName
  /** The network it is about, when it is about one. */
  readonly network?: string
}

interface Step extends Exhausted {
  readonly key: string
}

/** Bounds how many passwords can be guessed (attack I5), over all replicas on the same store. */
export class LoginThrottle {
  readonly devices: DeviceTokens
  readonly #limits: Readonly<Record<LimitName, Backoff>>
  readonly #keySecret: KeyObject
  readonly #queue = new PerKeyQueue()

  /** @param secrets those of the refresh tokens, newest first */
  constructor(store: CounterStore, secrets: readonly [Buffer, ...Buffer[]]) {
    const backoff = (name: LimitName) => new Backoff(store, `login.${name}`, limitRules[name])
    this.devices = new DeviceTokens(secrets)
    this.#limits = {
      device: backoff('device'),
      account_in_network: backoff('account_in_network'),
      account: backoff('account'),
      network: backoff('network'),
      wide_network: backoff('wide_network'),
    }
    this.#keySecret = createSecretKey(hmac(secrets[0], 'gatepass login throttle'))
  }

  /**
   * Counts an attempt and does its work, when it is its turn among those of the same account from the
   * same place.
   *
   * @throws `too_many_attempts` with the time to wait; `store_unavailable`, `overloaded`; whatever the
   *   work throws
   */
  inTurn<T>(attempter: Attempter, work: (attempt: Attempt) => Promise<T>): Promise<T> {
    const steps = this.#stepsOf(attempter)
    return this.#queue.run(steps[0]?.key ?? '', async () => work(await this.#begin(steps)))
  }

  async #begin(limits: readonly Step[]): Promise<Attempt> {
    const steps = await Promise.all(
      limits.map(async (step) => {
        return { ...step, ...(await this.#limits[step.limit].look(step.key)) }
      }),
    )
    const waitMs = Math.max(...steps.map((step) => step.waitMs))
    if (waitMs > 0) throw tooManyAttempts(waitMs)

    // All at once, so that a store can write them together; what one refuses is given back to the rest.
    const answers = await Promise.all(
      steps.map(async (step) => {
        return { step, answer: await this.#limits[step.limit].take(step.key, step.level) }
      }),
    )
    const taken: (Taken & Step)[] = []
    const pauses: number[] = []
    for (const { step, answer } of answers) {
      if (typeof answer === 'number') pauses.push(answer)
      else taken.push({ ...step, ...answer })
    }
    const giveBack = async () => {
      await Promise.all(taken.map((one) => one.giveBack()))
    }
    if (pauses.length > 0) {
      await giveBack()
      throw tooManyAttempts(Math.max(...pauses))
    }
    return {
      exhausted: taken.filter((one) => one.isLast),
      abandoned: giveBack,
      succeeded: async () => {
        await Promise.all(
          taken.map((one) =>
            limitRules[one.limit].forgivenBySuccess ? one.forgive() : one.giveBack(),
          ),
        )
      },
    }
  }

  /** A known device is counted by itself: whatever strangers do, its owner gets in. */
  #stepsOf({ name, address, deviceToken }: Attempter): Step[] {
    const deviceId = this.devices.knownId(deviceToken, name)
    if (deviceId !== null) return [{ limit: 'device', key: this.#key(deviceId, name) }]
    const { narrow, wide } = networksOf(address)
    return [
      { limit: 'account_in_network', key: this.#key(narrow, name), network: narrow },
      { limit: 'account', key: this.#key(name) },
      { limit: 'network', key: this.#key(narrow), network: narrow },
      { limit: 'wide_network', key: this.#key(wide), network: wide },
    ]
  }

  /** Neither names nor addresses can be read from the store, or tried out against it. */
  #key(...parts: readonly string[]): string {
    return hmacText(this.#keySecret, JSON.stringify(parts))
  }
}

function tooManyAttempts(waitMs: number): GatepassError {
  return new GatepassError('too_many_attempts', { retryAfter_s: Math.ceil(waitMs / 1000) })
}
