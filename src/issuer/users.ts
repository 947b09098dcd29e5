import { randomBytes, randomUUID } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import type { JsonObject } from '../core/json.ts'
import type { Account, AccountStore } from '../stores/ports.ts'
import { normalizeLoginName } from './login-name.ts'
import { checkPassword, type PasswordHasher } from './passwords/password-hasher.ts'
import type { Sessions } from './sessions.ts'

/** An account as its administrator sees it: without the hash. */
export type User = Omit<Account, 'passwordHash'>

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

/** What an administrator does with accounts. Login names are taken as typed. */
export interface Users {
  /** @throws `login_name_invalid`, `password_invalid`, `account_exists` */
  add(user: NewUser): Promise<User>
  /** All users by login name, read a page at a time. */
  list(): AsyncIterable<User>
  /**
   * Sets the password and ends all sessions of the user; returns how many were live.
   * @throws `password_invalid`, `account_not_found`, `clock_skew`
   */
  setPassword(loginName: string, password: string): Promise<number>
  /**
   * Refuses further logins and ends all sessions of the user; returns how many were live.
   * @throws `account_not_found`, `clock_skew`
   */
  disable(loginName: string): Promise<number>
  /**
   * The same by the id of the user. Where the account is gone, it ends the sessions that are left.
   * @throws `account_not_found` when there is neither account nor session; `clock_skew`
   */
  disableById(sub: string): Promise<{ readonly hadAccount: boolean; readonly ended: number }>
  /** @throws `account_not_found` */
  enable(loginName: string): Promise<void>
}

const pageSize = 500

/** A session names its user by id alone. */
const deletedAdvice =
  'No account of this login name exists. If the account was deleted, its sessions end when they are ' +
  'refreshed; "gatepass users disable --id <user id>" ends them at once.'

export function createUsers({ accounts, sessions, hasher, clock }: UsersOptions): Users {
  async function find(loginName: string, advice?: string): Promise<Account> {
    const account = await accounts.findByLoginName(normalizeLoginName(loginName))
    if (account !== null) return account
    throw new GatepassError('account_not_found', advice === undefined ? {} : { detail: advice })
  }

  return {
    async add({ loginName, password, attributes = {} }) {
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
      await accounts.create({ ...user, passwordHash })
      return user
    },

    async *list() {
      let page = await accounts.list({ limit: pageSize })
      while (page.length > 0) {
        for (const { passwordHash: _, ...user } of page) yield user
        const after = page.at(-1)?.loginName ?? ''
        page = await accounts.list({ after, limit: pageSize })
      }
    },

    // In both of these the account changes first: a login that comes in between is already refused.
    async setPassword(loginName, password) {
      checkPassword(password)
      await sessions.checkClock()
      const { sub } = await find(loginName)
      const passwordHash = await hasher.hash(password)
      await accounts.setPasswordHash(sub, passwordHash, clock.nowMs())
      return sessions.revokeAll(sub)
    },

    async disable(loginName) {
      await sessions.checkClock()
      const { sub } = await find(loginName, deletedAdvice)
      await accounts.setDisabled(sub, true, clock.nowMs())
      return sessions.revokeAll(sub)
    },

    async disableById(sub) {
      await sessions.checkClock()
      const account = await accounts.findBySub(sub)
      if (account !== null) await accounts.setDisabled(sub, true, clock.nowMs())
      const ended = await sessions.revokeAll(sub)
      if (account === null && ended === 0) {
        const detail = 'There is neither an account nor a session of this user id.'
        throw new GatepassError('account_not_found', { detail })
      }
      return { hadAccount: account !== null, ended }
    },

    async enable(loginName) {
      const { sub } = await find(loginName)
      await accounts.setDisabled(sub, false, clock.nowMs())
    },
  }
}

/** 32 characters that are hard to mistake for one another (Crockford's base 32). */
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'

/** A password of 100 random bits that can be read out loud: `7k2m-x9qd-…`, five groups of four. */
export function generatePassword(): string {
  const digits = Array.from(randomBytes(20), (byte) => alphabet[byte % alphabet.length]).join('')
  return digits.replace(/(?<=.)(?=(.{4})+$)/g, '-')
}
