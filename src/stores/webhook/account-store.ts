import { GatepassError, isGatepassError } from '../../core/errors.ts'
import type { JsonObject } from '../../core/json.ts'
import type { Account, AccountStore } from '../ports.ts'
import { unavailable, WebhookClient, type WebhookOptions } from './client.ts'
import * as operations from './operations.ts'

/** Largest page, so that it fits into a response. */
const maxPage = 100

/**
 * The accounts of an existing user base, over a signed webhook (`webhook+https:`). An operation that
 * the user base does not implement throws `operation_unsupported`.
 */
export class WebhookAccountStore implements AccountStore {
  readonly #client: WebhookClient

  constructor(options: WebhookOptions) {
    this.#client = new WebhookClient(options)
  }

  async create(account: Account): Promise<void> {
    const taken = await this.createMany([account])
    if (taken.length > 0) throw new GatepassError('account_exists')
  }

  async createMany(accounts: readonly Account[]): Promise<string[]> {
    const data = { accounts: accounts.map(operations.accountFields) }
    const { taken } = await this.#client.call(operations.create, data)
    return taken
  }

  findByLoginName(loginName: string): Promise<Account | null> {
    return this.#find({ login_name: loginName }, (found) => found.loginName === loginName)
  }

  findBySub(sub: string): Promise<Account | null> {
    return this.#find({ sub }, (found) => found.sub === sub)
  }

  async setPasswordHash(
    sub: string,
    passwordHash: string,
    nowMs: number,
    expectedHash?: string,
  ): Promise<boolean> {
    const data = {
      sub,
      password_hash: passwordHash,
      ...(expectedHash !== undefined && { expected_hash: expectedHash }),
      updated_at_ms: nowMs,
    }
    try {
      const { changed } = await this.#client.call(operations.setPasswordHash, data)
      return changed
    } catch (error) {
      // A login replaces an old hash by a stronger one. A user base may keep the old one.
      if (expectedHash !== undefined && isGatepassError(error, 'operation_unsupported'))
        return false
      throw error
    }
  }

  async setDisabled(sub: string, disabled: boolean, nowMs: number): Promise<boolean> {
    const data = { sub, disabled, updated_at_ms: nowMs }
    const { changed } = await this.#client.call(operations.setDisabled, data)
    return changed
  }

  async list({ after = '', limit }: { after?: string; limit: number }): Promise<Account[]> {
    const data = { after, limit: Math.min(limit, maxPage) }
    const { accounts } = await this.#client.call(operations.list, data)
    // A page that repeats earlier names would make the caller loop forever.
    if (accounts.length > data.limit || !isAscending([after, ...accounts.map(nameOf)])) {
      throw unavailable('its list is too long or not in order')
    }
    return accounts
  }

  async ping(): Promise<void> {
    await this.#client.call(operations.ping, {})
  }

  close(): Promise<void> {
    return this.#client.close()
  }

  /** Refuses an account other than the requested one, which would log a stranger in. */
  async #find(data: JsonObject, isRequested: (found: Account) => boolean): Promise<Account | null> {
    const { account } = await this.#client.call(operations.find, data)
    if (account !== null && !isRequested(account)) {
      throw unavailable('it returned an account other than the requested one')
    }
    return account
  }
}

function nameOf({ loginName }: Account): string {
  return loginName
}

/** Whether the texts are in strictly ascending order of their UTF-8 bytes. */
function isAscending(texts: readonly string[]): boolean {
  const bytes = texts.map((text) => Buffer.from(text))
  return bytes.every((one, at) => at === 0 || Buffer.compare(bytes[at - 1] ?? one, one) < 0)
}
