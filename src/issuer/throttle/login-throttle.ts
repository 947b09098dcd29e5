import { createSecretKey, type KeyObject } from 'node:crypto'
import { BoundedQueue } from '../../core/bounded-queue.ts'
import { systemClock } from '../../core/clock.ts'
import { GatepassError } from '../../core/errors.ts'
import { hmac, hmacText } from '../../core/secrets.ts'
import type { CounterStore } from '../../stores/counter-store.ts'
import { Backoff, type BackoffRules, type Taken } from './backoff.ts'
import { DeviceTokens } from './device-tokens.ts'
import { networksOf } from './network.ts'

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
  run<T>(attempter: Attempter, work: (attempt: Attempt) => Promise<T>): Promise<T> {
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
  return new GatepassError('too_many_attempts', { retryAfterSeconds: Math.ceil(waitMs / 1000) })
}

const minuteSeconds = 60
const hourSeconds = 3600
const daySeconds = 86_400

export type LimitName = 'device' | 'account_in_network' | 'account' | 'network' | 'wide_network'

export interface LimitRules extends BackoffRules {
  /** Whether a good login forgets the failures before it, or only does not count as one itself. */
  readonly forgivenBySuccess: boolean
}

/**
 * For one who mistypes, five free attempts are followed by pauses that are hardly felt. For one who
 * guesses they come to 120 passwords a day: five an hour, or 40 by waiting out the pauses.
 */
const oneUser: LimitRules = {
  free: 5,
  freeWindowSeconds: hourSeconds,
  maxPauseSeconds: hourSeconds,
  memorySeconds: daySeconds,
  forgivenBySuccess: true,
}

/** Free attempts and pauses for all who share an address. Good logins don't give others new ones. */
const manyUsers = {
  freeWindowSeconds: 10 * minuteSeconds,
  maxPauseSeconds: minuteSeconds,
  memorySeconds: 10 * minuteSeconds,
  forgivenBySuccess: false,
}

/** The limits on failed logins. docs/security.md says what each is for and what it comes to. */
export const limitRules: Readonly<Record<LimitName, LimitRules>> = {
  /** An account, from a device that has signed in to it before. */
  device: oneUser,
  /** An account, from one network: a stranger in one place is no trouble to its owner in another. */
  account_in_network: oneUser,
  /**
   * An account, from everywhere but its known devices: at most 1,500 guesses a day, from however
   * many addresses. Its pauses are short, for the owner's sake who has a new device: it takes a
   * dozen networks to have each turn, which comes once a minute. A good login does not clear it, or
   * each login of the owner would give a stranger fifty guesses more.
   */
  account: {
    free: 50,
    freeWindowSeconds: hourSeconds,
    maxPauseSeconds: minuteSeconds,
    memorySeconds: daySeconds,
    forgivenBySuccess: false,
  },
  /** One network, whatever the accounts. */
  network: { ...manyUsers, free: 100 },
  wide_network: { ...manyUsers, free: 1000 },
}

/**
 * Attempts on one account that this process handles at the same time. An attempt counts as failed
 * until its password is checked: more at once would exhaust the limit although all are right.
 */
const limits = { maxConcurrent: 2, maxQueued: 256, maxWaitMs: 5_000 }

type Work = () => Promise<unknown>

/** Limits the concurrency of work per key; further work of the same key waits in a queue. */
export class PerKeyQueue {
  readonly #queues = new Map<
    string,
    { readonly queue: BoundedQueue<Work, unknown>; users: number }
  >()

  /** @throws `overloaded`; the error of the work */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const entry = this.#queues.get(key) ?? { queue: createQueue(), users: 0 }
    this.#queues.set(key, entry)
    entry.users += 1
    try {
      return (await entry.queue.run(work)) as T
    } finally {
      entry.users -= 1
      if (entry.users === 0) this.#queues.delete(key)
    }
  }
}

function createQueue(): BoundedQueue<Work, unknown> {
  return new BoundedQueue(limits, systemClock, (works) =>
    Promise.allSettled(works.map((work) => work())),
  )
}
