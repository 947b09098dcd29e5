import * as z from 'zod'
import type { JsonObject } from '../../core/json.ts'
import { isJsonObject } from '../../tokens/strict-decoding.ts'
import type { Account } from '../ports.ts'

/** A kind of message and the schema of its response. docs/webhook.md describes each. */
export interface Operation<T> {
  readonly type: string
  readonly answer: z.ZodType<T>
  /** The operation changes nothing, so it may be repeated. */
  readonly isRead: boolean
}

const account = z
  .strictObject({
    // It travels in a header and a claim: the limits of OpenID Connect Core §2.
    sub: z.string().regex(/^[\x21-\x7e]{1,255}$/),
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
export function accountFields(account: Account): JsonObject {
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

export const ping = operation('ping', z.strictObject({}), true)

export const find = operation(
  'accounts.find',
  z.strictObject({ account: account.nullable() }),
  true,
)

export const list = operation('accounts.list', z.strictObject({ accounts: z.array(account) }), true)

export const create = operation(
  'accounts.create',
  z.strictObject({ taken: z.array(z.string()) }),
  false,
)

const changed = z.strictObject({ changed: z.boolean() })

export const setPasswordHash = operation('accounts.set_password_hash', changed, false)

export const setDisabled = operation('accounts.set_disabled', changed, false)

function operation<T>(type: string, answer: z.ZodType<T>, isRead: boolean): Operation<T> {
  return { type, answer, isRead }
}
