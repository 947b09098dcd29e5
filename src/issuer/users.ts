import { randomBytes, randomUUID } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import type { JsonObject } from '../core/json.ts'
import type { Account, AccountStore } from '../stores/ports.ts'
import { normalizeLoginName } from './login-name.ts'
import { checkPassword, type PasswordHasher } from './passwords/password-hasher.ts'
import type { Sessions } from './sessions.ts'

/** An account without its password hash. */
export type User = Omit<Account, 'passwordHash'>

/** Whether an account exists and is not disabled. */
export function isActive(account: Account | null): account is Account {
  return account !== null && !account.disabled
}

export interface UsersOptions {
  readonly accounts: AccountStore
  readonly sessions: Pick<Sessions, 'checkClock' | 'revokeAll'>
  readonly hasher: Pick<PasswordHasher, 'hash'>
  readonly clock: Clock
}

export interface NewUser {
  readonly loginName: string
  readonly password: string
  readonly attributes?: JsonObject
}

const pageSize = 500
/** The limit of OpenID Connect Core §2. */
const maxSubLength = 255

const deletedAdvice =
  'No account of this login name exists. If the account was deleted, its sessions end when they are ' +
  'refreshed; "gatepass users disable --id <user id>" ends them immediately.'

const unknownIdDetail = 'There is neither an account nor a session of this user id.'

/** Administration of accounts. Login names may be given in any case. */
export class Users {
  readonly #options: UsersOptions

  constructor(options: UsersOptions) {
    this.#options = options
  }

  /** @throws `login_name_invalid`, `password_invalid`, `account_exists` */
  async add({ loginName, password, attributes = {} }: NewUser): Promise<User> {
    const { accounts, hasher, clock } = this.#options
    const name = normalizeLoginName(loginName)
    checkPassword(password)
    const passwordHash = await hasher.hash(password)
    const nowMs = clock.nowMs()
    const user = {
      sub: randomUUID(),
      loginName: name,
      attributes,
      disabled: false,
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
    }
    const taken = await accounts.create([{ ...user, passwordHash }])
    if (taken.length > 0) throw new GatepassError('account_exists')
    return user
  }

  /** Returns all users, sorted by login name. */
  async *list(): AsyncGenerator<User> {
    const { accounts } = this.#options
    let page = await accounts.list({ limit: pageSize })
    while (page.length > 0) {
      for (const { passwordHash: _, ...user } of page) yield user
      const after = page.at(-1)?.loginName ?? ''
      page = await accounts.list({ after, limit: pageSize })
    }
  }

  /**
   * Sets the password and revokes all sessions of the user. Returns how many were live.
   *
   * @throws `password_invalid`, `account_not_found`, `clock_skew`
   */
  async setPassword(loginName: string, password: string): Promise<number> {
    const { accounts, sessions, hasher, clock } = this.#options
    checkPassword(password)
    await sessions.checkClock()
    const { sub } = await this.#find(loginName)
    const passwordHash = await hasher.hash(password)
    // The account changes before the sessions, so that no login in between succeeds.
    if (!(await accounts.setPasswordHash(sub, passwordHash, clock.nowMs()))) throw notFound()
    return sessions.revokeAll(sub)
  }

  /**
   * Disables the account and revokes all sessions of the user. Returns how many were live.
   *
   * @throws `account_not_found`, `clock_skew`
   */
  async disable(loginName: string): Promise<number> {
    const { sessions } = this.#options
    await sessions.checkClock()
    const account = await this.#find(loginName, deletedAdvice)
    if (!(await this.#disable(account))) throw notFound(deletedAdvice)
    return sessions.revokeAll(account.sub)
  }

  /**
   * Disables an account by user id. Also revokes the sessions of a deleted account.
   *
   * @throws `account_not_found` if there is neither an account nor a session; `clock_skew`
   */
  async disableById(
    sub: string,
  ): Promise<{ readonly hadAccount: boolean; readonly revoked: number }> {
    const { accounts, sessions } = this.#options
    // Verifiers would refuse a list of revocations with such an id.
    if (sub === '' || sub.length > maxSubLength) throw notFound(unknownIdDetail)
    await sessions.checkClock()
    const account = await accounts.findBySub(sub)
    const hadAccount = account !== null && (await this.#disable(account))
    const revoked = await sessions.revokeAll(sub)
    if (!hadAccount && revoked === 0) throw notFound(unknownIdDetail)
    return { hadAccount, revoked }
  }

  /** @throws `account_not_found` */
  async enable(loginName: string): Promise<void> {
    const { accounts, clock } = this.#options
    const { sub } = await this.#find(loginName)
    if (!(await accounts.setDisabled(sub, false, clock.nowMs()))) throw notFound()
  }

  /**
   * Returns whether the account still exists. An account may be disabled by a user base that does not
   * offer `accounts.set_disabled`.
   */
  async #disable({ sub, disabled }: Account): Promise<boolean> {
    const { accounts, clock } = this.#options
    return disabled || accounts.setDisabled(sub, true, clock.nowMs())
  }

  async #find(loginName: string, advice?: string): Promise<Account> {
    const { accounts } = this.#options
    const account = await accounts.findByLoginName(normalizeLoginName(loginName))
    if (account === null) throw notFound(advice)
    return account
  }
}

function notFound(detail?: string): GatepassError {
  return new GatepassError('account_not_found', detail === undefined ? {} : { detail })
}

/** Crockford's base 32: characters that are hard to confuse. */
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'

/** Generates a password of 100 random bits, as five groups of four characters: `7k2m-x9qd-…`. */
export function generatePassword(): string {
  const digits = Array.from(randomBytes(20), (byte) => alphabet[byte % alphabet.length]).join('')
  return digits.replace(/.{4}(?!$)/g, '$&-')
}
