import * as z from 'zod'
import { isGatepassError } from '../../core/errors.ts'
import type { JsonObject } from '../../core/json.ts'
import { isJsonObject } from '../../tokens/strict-decoding.ts'
import { type Account, type AccountStore, subPattern } from '../ports.ts'
import { type Operation, unavailable, WebhookClient, type WebhookOptions } from './client.ts'

const account = z
  .strictObject({
    sub: z.string().regex(subPattern),
    login_name: z.string().min(1).max(254),
    password_hash: z.string().min(1).max(512),
    // Not copied: a copy would lose a member named __proto__.
    attributes: z.custom<JsonObject>(isJsonObject),
    disabled: z.boolean(),
    created_at_ms: z.int(),
    updated_at_ms: z.int(),
  })
  .transform(
    (fields): Account => ({
      sub: fields.sub,
      loginName: fields.login_name,
      passwordHash: fields.password_hash,
      attributes: fields.attributes,
      disabled: fields.disabled,
      createdAtMs: fields.created_at_ms,
      updatedAtMs: fields.updated_at_ms,
    }),
  )

/** Returns an account as the fields of a message. */
function accountFields(account: Account): JsonObject {
  return {
    sub: account.sub,
    login_name: account.loginName,
    password_hash: account.passwordHash,
    attributes: account.attributes,
    disabled: account.disabled,
    created_at_ms: account.createdAtMs,
    updated_at_ms: account.updatedAtMs,
  }
}

const changed = z.strictObject({ changed: z.boolean() })

const operations = {
  ping: operation('ping', z.strictObject({}), true),
  find: operation('accounts.find', z.strictObject({ account: account.nullable() }), true),
  list: operation('accounts.list', z.strictObject({ accounts: z.array(account) }), true),
  create: operation('accounts.create', z.strictObject({ taken: z.array(z.string()) }), false),
  setPasswordHash: operation('accounts.set_password_hash', changed, false),
  setDisabled: operation('accounts.set_disabled', changed, false),
}

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

  async create(accounts: readonly Account[]): Promise<string[]> {
    const data = { accounts: accounts.map(accountFields) }
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

function operation<T>(type: string, answer: z.ZodType<T>, isRead: boolean): Operation<T> {
  return { type, answer, isRead }
}
