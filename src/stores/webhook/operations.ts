import { z } from 'zod'
import type { JsonObject } from '../../core/json.ts'
import { isJsonObject } from '../../tokens/json.ts'
import type { Account } from '../ports.ts'

/** The operations that a user base is asked for; docs/webhook.md describes each. */

/** One kind of message, and what its answer must look like. */
export interface Operation<T> {
  readonly type: string
  readonly answer: z.ZodType<T>
  /** It changes nothing, so it does no harm to ask twice. */
  readonly isRead: boolean
}

const account = z
  .strictObject({
    // It travels in a header and a claim: OpenID Connect Core §2 has these limits.
    sub: z.string().regex(/^[\x21-\x7e]{1,255}$/),
    login_name: z.string().min(1).max(254),
    password_hash: z.string().min(1).max(512),
    // As it came: to copy an object is to lose a member named __proto__.
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

/** An account as it is in a message. */
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
