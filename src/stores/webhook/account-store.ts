import { GatepassError, isGatepassError } from '../../core/errors.ts'
import type { JsonObject } from '../../core/json.ts'
import type { Account, AccountStore } from '../ports.ts'
import { WebhookClient, type WebhookOptions } from './client.ts'
import { unavailable } from './failures.ts'
import * as operations from './operations.ts'

/** How many accounts a page has at most: it must fit into an answer. */
const pageMax = 100

/**
 * The accounts of an existing user base, over a signed webhook (`webhook+https:`). What its owners
 * don't offer throws `operation_unsupported`.
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
      // A hash made stronger at a login: a user base that keeps its own has just not replaced it.
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
    const data = { after, limit: Math.min(limit, pageMax) }
    const { accounts } = await this.#client.call(operations.list, data)
    // A page that starts over would be read without end.
    if (accounts.length > data.limit || !isAscending([after, ...accounts.map(nameOf)])) {
      throw unavailable('the list that it sent is too long or not in order')
    }
    return accounts
  }

  async ping(): Promise<void> {
    await this.#client.call(operations.ping, {})
  }

  close(): Promise<void> {
    return this.#client.close()
  }

  /** Another account than the one asked for would sign a stranger in. */
  async #find(data: JsonObject, isAskedFor: (found: Account) => boolean): Promise<Account | null> {
    const { account } = await this.#client.call(operations.find, data)
    if (account !== null && !isAskedFor(account)) {
      throw unavailable('the account that it sent is not the one that was asked for')
    }
    return account
  }
}

function nameOf({ loginName }: Account): string {
  return loginName
}

/** Whether each text comes after the one before, by its bytes in UTF-8. */
function isAscending(texts: readonly string[]): boolean {
  const bytes = texts.map((text) => Buffer.from(text))
  return bytes.every((one, at) => at === 0 || Buffer.compare(bytes[at - 1] ?? one, one) < 0)
}
