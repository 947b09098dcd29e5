import { readFileSync, writeFileSync } from 'node:fs'
import * as z from 'zod'
import { insertPart } from '../bench/harness/report.ts'
import { type ClientSettings, clientSchema } from '../src/config/clients.ts'
import { allowedValues } from '../src/config/load.ts'
import {
  environmentName,
  type Setting,
  type SettingName,
  settings,
} from '../src/config/settings.ts'

/**
 * Returns docs/config.md with new tables. Defaults and limits come from the schemas. A test fails if the tables
 * are out of date.
 */
export function withTables(document: string): string {
  const withSettings = insertPart(
    document,
    'settings',
    table(settingColumns, settings.map(settingRow)),
  )
  return insertPart(withSettings, 'clients', table(clientColumns, clientRows()))
}

type Row = readonly string[]

/** Settings that are documented in the section of another setting. */
const sections: { readonly [name in SettingName]?: string } = { decryption_keys: 'audiences' }

const settingColumns = ['Setting', 'Default', 'Allowed', 'Read by', 'Meaning']
const clientColumns = ['Field', 'Required', 'Meaning']

function settingRow(setting: Setting): Row {
  const { name, roles, description } = setting
  return [
    code(environmentName(name)),
    defaultText(setting),
    allowed(setting),
    readBy(roles),
    description,
  ]
}

function readBy(roles: Setting['roles']): string {
  return roles.length > 1 ? 'all' : roles.join()
}

function defaultText({ name, schema, defaultByRole, unit }: Setting): string {
  if (defaultByRole !== undefined) {
    return Object.entries(defaultByRole)
      .map(([role, value]) => `${code(String(value))} (${role})`)
      .join(', ')
  }
  const { success, data } = schema.safeParse(undefined)
  if (!success) return '**required**'
  if (data === undefined || (Array.isArray(data) && data.length === 0)) return 'none'
  if (typeof data === 'object') return `[below](#${name})`
  return `${code(String(data))}${unit === 'seconds' ? inDays(Number(data)) : ''}`
}

/** Adds the number of days to a long duration. */
function inDays(seconds: number): string {
  const days = seconds / 86_400
  return days >= 1 && Number.isInteger(days) ? ` (${days} days)` : ''
}

/** Describes the allowed values by the schema. */
function allowed(setting: Setting): string {
  const { name, schema } = setting
  const values = allowedValues(setting)
  if (values !== null) return typeof values === 'string' ? values : values.map(code).join(', ')
  const form = z.toJSONSchema(schema, { io: 'input' })
  if (form.type !== 'array') return textRule(form, refusal(schema, '?'))
  const size =
    form.minItems === undefined
      ? `a list of up to ${form.maxItems}`
      : `a list of ${form.minItems} to ${form.maxItems}`
  const { items } = form
  if (typeof items !== 'object' || Array.isArray(items) || items.type !== 'string') {
    return `${size}: [below](#${sections[name] ?? name})`
  }
  return `${size}; each ${textRule(items, refusal(schema, ['?']))}`
}

function textRule(form: z.core.JSONSchema.BaseSchema, refused: string | undefined): string {
  if (form.maxLength !== undefined) return `${form.minLength} to ${form.maxLength} characters`
  return refused ?? 'a text'
}

/** Takes a rule that JSON Schema cannot express from the error message of the schema. */
function refusal(schema: z.ZodType, unacceptable: unknown): string | undefined {
  return schema.safeParse(unacceptable).error?.issues[0]?.message
}

const clientMeanings = {
  client_id: 'The `client_id` claim of its tokens.',
  audience: 'The `aud` of its tokens: one name, or up to 8. Default: `GATEPASS_AUDIENCE`.',
  scopes:
    'The scopes that it may request. Each lists the account attributes that it turns into claims.',
  default_scope:
    'The scopes of a login that requests none, separated by spaces. Default: all its scopes.',
  dpop: '`required`: each login and refresh must prove possession of a key ([DPoP](security.md#tokens-bound-to-a-key)). Default: `optional`.',
  grants:
    'How it may get tokens: `password` (at `/login`), `refresh_token`, `client_credentials`, `authorization_code`, `urn:ietf:params:oauth:grant-type:token-exchange`. Default: `password` and `refresh_token`.',
  auth_method:
    'How it authenticates: `none` (a public client; the default), `client_secret_basic`, `client_secret_post`, `private_key_jwt`.',
  secret_hashes: 'One or two hashes of its secrets, from `gatepass clients secret`.',
  jwks: 'Its public keys for `private_key_jwt`: `{"keys": […]}` with up to 8 JWKs, each with `kid` and `alg`.',
  jwks_uri:
    'The https address where it publishes its public keys, each with `kid` and `alg`. Other keys are ignored.',
  redirect_uris:
    'The addresses to which an authorization response may go, up to 32: https, http on this machine, or the scheme of an app such as `com.example.app:/cb`.',
  post_logout_redirect_uris: 'The addresses to which a browser may go after a sign-out.',
  backchannel_logout_uri:
    'The address of its [back-channel logout](oauth.md#tell-applications-about-a-sign-out): https, or http on this machine.',
  exchange_audiences: 'The audiences for which it may exchange the token of a user, up to 32.',
  client_name: 'The name that users read on the pages of the issuer. Default: the `client_id`.',
  third_party: '`true`: users are asked for [consent](oauth.md#consent).',
  require_pushed_authorization_requests:
    '`true`: it must [push](http-api.md#post-oauthpar) its authorization requests (RFC 9126 §6).',
} as const satisfies Record<keyof ClientSettings, string>

function clientRows(): Row[] {
  const { required = [] } = z.toJSONSchema(clientSchema, { io: 'input' })
  return Object.entries(clientMeanings).map(([name, meaning]) => [
    code(name),
    required.includes(name) ? 'yes' : 'no',
    meaning,
  ])
}

/** Formats a table with aligned columns. */
function table(columns: Row, rows: readonly Row[]): string {
  const lines = [columns, ...rows].map((cells) => cells.map((cell) => cell.replaceAll('|', '\\|')))
  const widths = columns.map((_, at) => Math.max(...lines.map((cells) => cells[at]?.length ?? 0)))
  const [head = [], ...body] = lines
  return [head, widths.map((width) => '-'.repeat(width)), ...body]
    .map((cells) => `| ${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' | ')} |`)
    .join('\n')
}

function code(text: string): string {
  return `\`${text}\``
}

if (import.meta.main) {
  const path = new URL('../docs/config.md', import.meta.url)
  writeFileSync(path, withTables(readFileSync(path, 'utf8')))
}
