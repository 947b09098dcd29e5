import { PerKeyQueue } from '../core/bounded-queue.ts'
import { GatepassError, isGatepassError } from '../core/errors.ts'
import { networksOf } from '../core/networks.ts'
import { DerivedMac, randomId, type Secrets } from '../core/secrets.ts'
import type { Counter, CounterStore } from '../stores/counter-store.ts'

const minuteSeconds = 60
const hourSeconds = 3600
const daySeconds = 86_400

/** How many failed attempts are free, and how further ones are slowed down. */
interface BackoffRules {
  /** Attempts per window without a pause. */
  readonly free: number
  readonly freeWindowSeconds: number
  /** Longest pause. The first is 1 s; each further attempt doubles it. */
  readonly maxPauseSeconds: number
  /** How long after the first pause the next pauses start at 1 s again. */
  readonly memorySeconds: number
}

type LimitName =
  | 'device'
  | 'known_devices'
  | 'account_in_network'
  | 'account'
  | 'network'
  | 'wide_network'

interface LimitRules extends BackoffRules {
  /**
   * Whether a successful login forgets earlier failures. Otherwise the login itself is not counted,
   * and earlier failures stay.
   */
  readonly forgivenBySuccess: boolean
}

/** A user who mistypes rarely notices it. An attacker gets 142 attempts in 24 hours at most. */
const oneUser: LimitRules = {
  free: 5,
  freeWindowSeconds: hourSeconds,
  maxPauseSeconds: hourSeconds,
  memorySeconds: daySeconds,
  forgivenBySuccess: true,
}

/** For all users of an address. One user's login does not give the others new attempts. */
const manyUsers = {
  freeWindowSeconds: 10 * minuteSeconds,
  maxPauseSeconds: minuteSeconds,
  memorySeconds: 10 * minuteSeconds,
  forgivenBySuccess: false,
}

/**
 * At most 1,550 attempts in 24 hours. The pauses are short, because they also delay the owner's login. A
 * login does not clear the limit: it would give an attacker fifty more attempts.
 */
const manyDevices: LimitRules = {
  free: 50,
  freeWindowSeconds: hourSeconds,
  maxPauseSeconds: minuteSeconds,
  memorySeconds: daySeconds,
  forgivenBySuccess: false,
}

/** The limits on failed logins. docs/security.md explains each. */
export const limitRules: Readonly<Record<LimitName, LimitRules>> = {
  /** An account, from a device with an earlier login to it. */
  device: oneUser,
  /**
   * An account, from all such devices: each login makes a device known, also that of a thief whose
   * password was replaced since.
   */
  known_devices: manyDevices,
  /** An account, from one network: an attacker elsewhere does not affect the owner. */
  account_in_network: oneUser,
  /** An account, from all unknown devices. */
  account: manyDevices,
  /** One network, for all accounts. */
  network: { ...manyUsers, free: 100 },
  wide_network: { ...manyUsers, free: 1000 },
}

/** A login attempt before the password is checked. */
export interface LoginAttempt {
  /** The login name in its stored form, whether or not an account has it. */
  readonly name: string
  /** IP address of the client. */
  readonly address: string
  readonly deviceToken: string | undefined
}

interface LimitKey {
  readonly limit: LimitName
  readonly key: string
  /** The network, if the limit applies to a network. */
  readonly network?: string
}

type AdmittedKey = LimitKey & Admission

/** Limits guesses of passwords (attack I5), across all replicas on the same store. */
export class LoginThrottle {
  readonly devices: DeviceTokens
  readonly #limits: Readonly<Record<LimitName, LoginBackoff>>
  readonly #keyMac: DerivedMac
  readonly #queue = new PerKeyQueue(queueLimits)

  /**
   * @param secrets of the refresh tokens
   * @param subject whose failures are counted
   */
  constructor(store: CounterStore, secrets: Secrets, subject: 'login' | 'client' = 'login') {
    const backoff = (name: LimitName) =>
      new LoginBackoff(store, `${subject}.${name}`, limitRules[name])
    this.devices = new DeviceTokens(secrets)
    this.#limits = {
      device: backoff('device'),
      known_devices: backoff('known_devices'),
      account_in_network: backoff('account_in_network'),
      account: backoff('account'),
      network: backoff('network'),
      wide_network: backoff('wide_network'),
    }
    this.#keyMac = new DerivedMac(secrets, 'gatepass login throttle')
  }

  /**
   * Counts an attempt, then checks it. A right password forgets earlier failures of its user, and a check
   * that throws does not count. Attempts on one account from one place queue up.
   *
   * @param isRight whether the result of the check is that of a right password
   * @returns the result, and the limits without further free attempts: if this attempt failed, the next
   *   attempts are delayed
   * @throws `too_many_attempts` with the time to wait; `store_unavailable`, `overloaded`; the error of
   *   the check
   */
  run<T>(
    attempt: LoginAttempt,
    check: () => Promise<T>,
    isRight: (result: T) => boolean,
  ): Promise<{ readonly result: T; readonly exhausted: readonly LimitKey[] }> {
    const keys = this.#limitKeys(attempt)
    return this.#queue.run(keys[0].key, async () => {
      const admitted = await this.#admit(keys)
      const result = await check().catch(async (error: unknown) => {
        await settle(admitted.map((one) => one.takeBack()))
        throw error
      })
      if (isRight(result)) await settle(admitted.map(succeed))
      return { result, exhausted: admitted.filter((one) => one.isLast) }
    })
  }

  async #admit(limitKeys: readonly LimitKey[]): Promise<readonly AdmittedKey[]> {
    const states = await Promise.all(
      limitKeys.map(async (one) => {
        return { ...one, ...(await this.#limits[one.limit].read(one.key)) }
      }),
    )
    const waitMs = Math.max(...states.map((state) => state.waitMs))
    if (waitMs > 0) throw tooManyAttempts(waitMs)

    // The writes run concurrently, so that a store can batch them. If one limit refuses or fails, the
    // attempt is taken back from the other limits.
    const results = await Promise.allSettled(
      states.map(async (state) => {
        return { state, result: await this.#limits[state.limit].admit(state.key, state.level) }
      }),
    )
    const admitted: AdmittedKey[] = []
    const waitsMs: number[] = []
    const errors: unknown[] = []
    for (const outcome of results) {
      if (outcome.status === 'rejected') errors.push(outcome.reason)
      else if (typeof outcome.value.result === 'number') waitsMs.push(outcome.value.result)
      else admitted.push({ ...outcome.value.state, ...outcome.value.result })
    }
    if (admitted.length === limitKeys.length) return admitted
    const takenBack = Promise.all(admitted.map((one) => one.takeBack()))
    if (errors.length > 0) {
      await takenBack.catch(() => {})
      throw errors[0]
    }
    await takenBack
    throw tooManyAttempts(Math.max(...waitsMs))
  }

  /** Known devices have limits of their own, so that attackers elsewhere cannot lock their owner out. */
  #limitKeys({ name, address, deviceToken }: LoginAttempt): readonly [LimitKey, ...LimitKey[]] {
    const deviceId = this.devices.knownId(deviceToken, name)
    if (deviceId !== null) {
      return [
        { limit: 'device', key: this.#key(deviceId, name) },
        { limit: 'known_devices', key: this.#key(name) },
      ]
    }
    const { narrow, wide } = networksOf(address)
    return [
      { limit: 'account_in_network', key: this.#key(narrow, name), network: narrow },
      { limit: 'account', key: this.#key(name) },
      { limit: 'network', key: this.#key(narrow), network: narrow },
      { limit: 'wide_network', key: this.#key(wide), network: wide },
    ]
  }

  /**
   * Keys are keyed hashes: the store reveals neither names nor addresses, and guesses of them
   * cannot be tested.
   */
  #key(...parts: readonly string[]): string {
    return this.#keyMac.of(JSON.stringify(parts))
  }
}

function succeed(one: AdmittedKey): Promise<void> {
  return limitRules[one.limit].forgivenBySuccess ? one.forgive() : one.takeBack()
}

/** Waits for updates of counters, whose store may have become unavailable. */
async function settle(updates: readonly Promise<void>[]): Promise<void> {
  await Promise.all(updates).catch((error: unknown) => {
    if (!isGatepassError(error, 'store_unavailable')) throw error
  })
}

function tooManyAttempts(waitMs: number): GatepassError {
  return new GatepassError('too_many_attempts', { retryAfterSeconds: Math.ceil(waitMs / 1000) })
}

/**
 * Attempts on one account that this process handles at the same time. An attempt counts as failed
 * until its password is checked, so more attempts at once could exhaust the limit even if all
 * passwords are right.
 */
const queueLimits = { maxConcurrent: 2, maxQueued: 256, maxWaitMs: 5_000 }

/** The state of a key before an attempt. */
interface BackoffState {
  /** Time until the next attempt is admitted. */
  readonly waitMs: number
  /** Attempts beyond the free ones. */
  readonly level: number
}

/** An attempt that a limit has admitted. It counts as a failure until it is taken back or forgiven. */
export interface Admission {
  /** Whether no free attempt is left. Pauses begin with the attempt after the last free one. */
  readonly isLast: boolean
  /** Takes the attempt back, because it was not a failure. */
  takeBack(): Promise<void>
  /** Forgets this attempt and all failures before it. */
  forgive(): Promise<void>
}

/**
 * A limit on attempts per key, with exponential backoff.
 *
 * An attempt is counted when it begins, so attempts that arrive at the same time are admitted no more
 * often than attempts in sequence.
 */
export class LoginBackoff {
  readonly #rules: BackoffRules
  readonly #free: Counter
  /** The exponent of the pause: the number of attempts beyond the free ones. */
  readonly #levels: Counter
  /** Admits one attempt per pause. */
  readonly #pauses: Counter

  /** @param name separates its keys from those of other limits in the store */
  constructor(store: CounterStore, name: string, rules: BackoffRules) {
    const { free, freeWindowSeconds, maxPauseSeconds, memorySeconds } = rules
    this.#rules = rules
    const counter = (what: string, limit: number, windowSeconds: number) =>
      store.counter({ name: `${name}.${what}`, limit, windowSeconds })
    this.#free = counter('free', free, freeWindowSeconds)
    this.#levels = counter('level', Number.MAX_SAFE_INTEGER, memorySeconds)
    this.#pauses = counter('pause', 1, maxPauseSeconds)
  }

  /** Reads the state without a write, so that refused attempts do not load the store. */
  async read(key: string): Promise<BackoffState> {
    const level = (await this.#levels.read(key))?.count ?? 0
    // A pause begins a moment before its level. `admit` finds such a pause.
    const pause = level > 0 ? await this.#pauses.read(key) : null
    return { waitMs: pause?.resetsInMs ?? 0, level }
  }

  /**
   * Admits an attempt, or returns how long it has to wait in milliseconds.
   *
   * @param level as `read` returned it
   */
  async admit(key: string, level: number): Promise<Admission | number> {
    if (level <= 0) {
      const free = await this.#free.add(key)
      if (free.isWithinLimit) {
        return {
          isLast: free.count >= this.#rules.free,
          takeBack: free.takeBack,
          forgive: () => this.#free.reset(key),
        }
      }
    }
    const pause = await this.#pauses.add(key, Math.min(2 ** level, this.#rules.maxPauseSeconds))
    if (!pause.isWithinLimit) return pause.resetsInMs
    const raised = await this.#levels.add(key)
    const counters = [this.#free, this.#levels, this.#pauses]
    return {
      isLast: true,
      takeBack: async () => {
        await Promise.all([raised.takeBack(), this.#pauses.reset(key)])
      },
      forgive: async () => {
        await Promise.all(counters.map((counter) => counter.reset(key)))
      },
    }
  }
}

const prefix = 'gpd_'
const idPattern = /^[\w-]{22}$/
const macPattern = /^[\w-]{43}$/
/** Users who share a browser. */
const maxMacs = 4
const maxLength = prefix.length + 22 + maxMacs * 44

interface DeviceToken {
  readonly id: string
  /** One per login name, newest first. */
  readonly macs: readonly string[]
}

/**
 * Tokens by which a device is recognized, `gpd_<id>.<mac>…`, with one MAC for each of the last login
 * names on it. A device token grants no access: the attempts of recognized devices only have limits
 * of their own. A token that was made for one name is invalid for another.
 */
export class DeviceTokens {
  readonly #mac: DerivedMac

  constructor(secrets: Secrets) {
    this.#mac = new DerivedMac(secrets, 'gatepass device token')
  }

  /** Returns the id of the device if this name has signed in on it, or null. */
  knownId(token: string | undefined, name: string): string | null {
    const device = parseDeviceToken(token)
    return device?.macs.some((mac) => this.#mac.isValid(macInput(device.id, name), mac))
      ? device.id
      : null
  }

  /** Returns the token of a device on which this name has just signed in. */
  remember(token: string | undefined, name: string): string {
    const { id, macs } = parseDeviceToken(token) ?? { id: randomId(), macs: [] }
    const input = macInput(id, name)
    const others = macs.filter((mac) => !this.#mac.isValid(input, mac))
    const kept = [this.#mac.of(input), ...others].slice(0, maxMacs)
    return [`${prefix}${id}`, ...kept].join('.')
  }
}

function parseDeviceToken(token: string | undefined): DeviceToken | null {
  if (token === undefined || token.length > maxLength || !token.startsWith(prefix)) return null
  const [id = '', ...macs] = token.slice(prefix.length).split('.')
  const isWellFormed = idPattern.test(id) && macs.every((mac) => macPattern.test(mac))
  return isWellFormed ? { id, macs } : null
}

/** The id has a fixed length, so no two pairs of id and name result in the same text. */
function macInput(id: string, name: string): string {
  return `${id}${name}`
}
