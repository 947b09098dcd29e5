import { z } from 'zod'
import { type Client, clientSchema, defaultClients } from './clients.ts'
import { environmentName } from './setting.ts'
import { type settings as allSettings, type SettingName, settings } from './settings.ts'

/** Generates docs/config.md. Defaults and limits come from the schemas. */
export function configDocument(): string {
  const parts = [
    introduction,
    table(settingColumns, settings.map(settingRow)),
    rules,
    clients,
    table(clientColumns, clientRows()),
    clientRules,
    `\`\`\`json\n${json(defaultClients)}\n\`\`\``,
    audiences,
  ]
  return `${parts.map((part) => part.trim()).join('\n\n')}\n`
}

type Setting = (typeof allSettings)[number]
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
function allowed({ name, schema, unit }: Setting): string {
  const form = z.toJSONSchema(schema, { io: 'input' })
  if (form.enum !== undefined) return form.enum.map((value) => code(String(value))).join(', ')
  if (form.type === 'boolean') return `${code('true')}, ${code('false')}`
  if (form.type === 'integer') return `${form.minimum} to ${form.maximum} ${unit}`.trim()
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
  client_id: 'The `client_id` claim of its tokens; a login may name it.',
  audience: 'The `aud` of its tokens, one name or up to 8. Without it `GATEPASS_AUDIENCE`.',
  scopes:
    'The scopes that it may ask for. Each lists the account attributes that it turns into claims.',
  default_scope:
    'What a login gets that asks for no scope, separated by spaces. Without it all its scopes.',
  dpop: '`required`: each login and refresh must show possession of a key ([DPoP](security.md#tokens-bound-to-a-key)). Without it, or with `optional`, it may.',
} as const satisfies Record<keyof Client, string>

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

/** Formats JSON with lists of strings on one line. */
function json(value: unknown): string {
  const text = JSON.stringify(value, null, 2)
  return text.replace(/\[\s*("[^[\]{}]*")\s*\]/g, (_, items: string) => {
    return `[${items.replaceAll(/\s*\n\s*/g, ' ')}]`
  })
}

function code(text: string): string {
  return `\`${text}\``
}

const introduction = `# Configuration

<!-- Made of src/config by "npm run docs". A change made here is lost. -->

Everything has a default but \`GATEPASS_SECRET\`, which \`gatepass issuer\`, \`keys rotate\` and
\`keys revoke\` need. \`gatepass config\` shows each setting as it is in effect, and where it comes from;
of a secret it says how many there are, and an address it shows without its password:

\`\`\`console
$ GATEPASS_SECRET_FILE=secret gatepass config
SETTING                      VALUE                         UNIT     SOURCE
GATEPASS_MODE                production                    -        default
GATEPASS_ISSUER              http://localhost:4000         -        default
…
GATEPASS_SECRET              hidden (1)                    -        GATEPASS_SECRET_FILE
GATEPASS_ALGORITHM           ES256                         -        default
GATEPASS_ACCESS_TTL_S        120                           seconds  /srv/auth/gatepass.json
…
\`\`\`

\`gatepass config --role verifier\` shows those of a verifier, \`--json\` prints either as JSON.

## Where settings come from

Three places, of which the later wins:

1. the default;
2. the settings file: the one that \`--config\` names, else \`GATEPASS_CONFIG\`, else
   \`gatepass.json\` in the working folder, if there is one;
3. the environment: \`GATEPASS_ACCESS_TTL_S\`, or the content of the file that
   \`GATEPASS_ACCESS_TTL_S_FILE\` names. That works for every setting, and suits mounted secrets.

To know:

- A variable that is set but empty counts as not set.
- Giving a setting both ways, by itself and with \`_FILE\`, is an error.
- White space at the end of a \`_FILE\` is cut off.
- In a variable, a list is separated by commas or white space, \`true\` may be \`1\` and \`false\` may
  be \`0\`; \`GATEPASS_CLIENTS\`, \`GATEPASS_AUDIENCES\` and \`GATEPASS_DECRYPTION_KEYS\` are JSON.
- Relative paths, in store addresses too, start from the working folder.
- A name in the settings file that is no setting is an error. In the environment only a name that is
  at most two letters away from a setting is, because a cluster may put variables of its own there.
- Every problem is reported at once, and the process exits with code 2.

\`gatepass dev\` sets the mode, the issuer, the ports, the secrets and \`GATEPASS_KEYS_URL\` for what it
starts. Except for the ports, whatever you set yourself stays.

## Settings

In the settings file a setting is called by the part after \`GATEPASS_\`, in lower case:
\`GATEPASS_ACCESS_TTL_S\` is \`access_ttl_s\`. A setting that a process does not read is ignored, so
that an issuer and its verifiers can share one environment.
`

const rules = `
## Rules between settings

- \`GATEPASS_SESSION_IDLE_S\` is not longer than \`GATEPASS_SESSION_MAX_S\`.
- \`GATEPASS_GRACE_S\` is shorter than \`GATEPASS_SESSION_IDLE_S\`.
- \`GATEPASS_KEY_ROTATION_S\` is longer than the time that a key is published before it signs; see
  [keys](operations.md#signing-keys).
- \`GATEPASS_ARGON2_MEMORY_KIB\` is at least 8 times \`GATEPASS_ARGON2_PARALLELISM\`, and times
  \`GATEPASS_ARGON2_PASSES\` at most 4194304.
- The addresses of stores are of the forms that [stores](stores.md) and
  [session data](session-data.md#which-store) show.
- A verifier with \`GATEPASS_DATA_URL\` has \`GATEPASS_DATA_SECRET\`.
- A webhook has \`GATEPASS_WEBHOOK_SECRET\`, and an address without user name, password, query or
  fragment.

With \`GATEPASS_MODE=production\`, the default, also:

- \`GATEPASS_ISSUER\` is https, unless its host is \`localhost\`, \`127.0.0.1\` or \`[::1]\`.
- \`GATEPASS_COOKIE_SECURE\` is \`true\`.
- Postgres, Redis and memcached on another machine are reached by TLS, or
  \`GATEPASS_PLAINTEXT_STORES\` is \`true\`.
- A webhook is https, unless its host is \`localhost\`, \`127.0.0.1\` or \`[::1]\`.

## The settings file

A JSON object of settings. Secrets are better kept out of it: give them by \`GATEPASS_SECRET_FILE\`,
and an address with a password in it by \`GATEPASS_SESSIONS_URL_FILE\`.

\`\`\`json
{
  "issuer": "https://auth.example.com",
  "audience": "https://api.example.com",
  "access_ttl_s": 120,
  "allowed_origins": ["https://app.example.com"],
  "clients": [
    {
      "client_id": "web",
      "scopes": { "profile": ["name", "roles"], "orders:read": [], "orders:write": [] },
      "default_scope": "profile orders:read"
    },
    {
      "client_id": "back-office",
      "audience": ["https://api.example.com", "https://admin.example.com"],
      "scopes": { "profile": ["name", "roles"], "orders:refund": [] }
    }
  ]
}
\`\`\`
`

const clients = `
## Clients

A client is a front end that users sign in with. A login that names none gets the first one. There
is no client secret: the password of the user is what a login shows. The names are unique.
`

const clientRules = `
A scope says what the client may do on behalf of the user. It says nothing about what the user may
do: put that, a role for instance, among the account attributes, and let a scope turn it into a
claim.

No attribute may take the place of a claim that Gatepass makes itself: \`iss\`, \`sub\`, \`aud\`,
\`exp\`, \`nbf\`, \`iat\`, \`jti\`, \`client_id\`, \`scope\`, \`sid\`, \`auth_time\`, \`amr\`, \`acr\`,
\`cnf\`, \`act\`. Claims are read afresh at each refresh, so a changed attribute is in the next token.

A session whose client was taken out of the settings goes on until it ends. Its tokens have the
audience of the service, and no claims made of attributes.

Without the setting there is one client:
`

const audiences = `
## Audiences

Tokens are signed, and can be read by whoever holds them. Those of an audience in
\`GATEPASS_AUDIENCES\` are encrypted for it too; see [encrypted tokens](verifier.md#encrypted-tokens).
Both settings are JSON, and \`gatepass keys encryption\` makes the keys:

\`\`\`json
[
  {
    "audience": "https://api.example.com",
    "encryption_key": {
      "kty": "EC",
      "crv": "P-256",
      "x": "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",
      "y": "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck",
      "kid": "orders-1"
    }
  }
]
\`\`\`

\`GATEPASS_DECRYPTION_KEYS\` is a list of up to 16 private JWKs, each with its \`kid\`. Give it by
\`GATEPASS_DECRYPTION_KEYS_FILE\`.

- A key is on \`P-256\` (\`kty\` \`EC\`) or \`X25519\` (\`kty\` \`OKP\`). If it has \`use\` it is \`enc\`, if it
  has \`alg\` it is \`ECDH-ES\`.
- Each audience with a key is that of a client. A client that has several audiences may have none
  with a key, for an encrypted token has one reader.
- \`GATEPASS_ALGORITHM\` is not \`ML-DSA-44\` then: such a token is too long once it is encrypted.
- \`GATEPASS_ENCRYPTED_TOKENS\` needs \`GATEPASS_DECRYPTION_KEYS\`.
`
