import { writeFileSync } from 'node:fs'
import * as z from 'zod'
import { type ClientSettings, clientSchema, defaultClients } from '../src/config/clients.ts'
import { allowedValues } from '../src/config/load.ts'
import {
  environmentName,
  type Setting,
  type SettingName,
  settings,
} from '../src/config/settings.ts'

/**
 * Generates docs/config.md. Defaults and limits come from the schemas. A test fails if the document is
 * out of date.
 */
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

const introduction = `# Settings

<!-- Generated from src/config by "npm run docs". Do not edit this page. -->

Configure issuers and verifiers. Only \`GATEPASS_SECRET\` has no default; \`gatepass issuer\`, \`keys rotate\`
and \`keys revoke\` require it. \`gatepass config\` shows every setting in effect and its source. It hides
secrets and the passwords of URLs:

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

\`gatepass config --role verifier\` shows the settings of a verifier. \`--json\` prints JSON.

## Sources

Gatepass reads settings from three sources. A later source overrides an earlier one:

1. the default;
2. the settings file: \`--config\`, or \`GATEPASS_CONFIG\`, or \`gatepass.json\` in the working folder;
3. the environment: \`GATEPASS_ACCESS_TTL_S\`, or \`GATEPASS_ACCESS_TTL_S_FILE\` with the name of a file that
   contains the value. Every setting supports \`_FILE\`, which suits mounted secrets.

Rules of the sources:

- An empty variable counts as unset. So does a port such as \`tcp://10.0.0.1:4000\`, which Kubernetes sets for a
  service named gatepass.
- Setting both a variable and its \`_FILE\` is an error.
- Files are UTF-8; a byte order mark is ignored. So is white space at the end of a \`_FILE\`. An empty file is an error.
- Lists are separated by commas or white space. \`1\` and \`0\` stand for \`true\` and \`false\`.
- \`GATEPASS_CLIENTS\`, \`GATEPASS_AUDIENCES\` and \`GATEPASS_DECRYPTION_KEYS\` are JSON lists.
- Relative paths, also in store URLs, start from the working folder.
- An unknown name in the settings file is an error, and so is a name that an object has twice. In the
  environment, only a name that looks like a misspelled setting is an error, because a cluster may set variables of
  its own.

\`gatepass dev\` sets the mode, the issuer, the ports, the secrets, \`GATEPASS_KEYS_URL\`, \`GATEPASS_CLIENTS\`,
\`GATEPASS_PLAYGROUND\`, \`GATEPASS_JWKS_MAX_AGE_S\` (10) and \`GATEPASS_DRAIN_S\` (0). Your own settings override
these, except for the ports. \`GATEPASS_HOST\` must be an address that \`127.0.0.1\` reaches.

## All settings

In the settings file, a name is the part after \`GATEPASS_\` in lower case: \`GATEPASS_ACCESS_TTL_S\` is
\`access_ttl_s\`. A process ignores settings that it does not read, so an issuer and its verifiers can share
one environment.
`

const rules = `
## Rules between settings

- \`GATEPASS_ADMIN_PORT\` is not \`GATEPASS_PORT\`.
- \`GATEPASS_SESSION_IDLE_S\` is at most \`GATEPASS_SESSION_MAX_S\`.
- \`GATEPASS_GRACE_S\` is shorter than \`GATEPASS_SESSION_IDLE_S\`.
- \`GATEPASS_KEY_ROTATION_S\` is longer than the time for which a key is
  [published before it signs](operations.md#signing-keys).
- \`GATEPASS_ACCESS_TTL_S\` is at most 16 times \`GATEPASS_KEY_ROTATION_S\`.
- \`GATEPASS_ARGON2_MEMORY_KIB\` is at least 8 times \`GATEPASS_ARGON2_PARALLELISM\`. Multiplied by
  \`GATEPASS_ARGON2_PASSES\` it is at most 4194304.
- \`sqlite::memory:\`, a database of one process, needs \`GATEPASS_WORKERS\` 1. \`gatepass dev\` accepts it for sessions only.
- \`GATEPASS_ISSUER\` has no \`*\`, and no encoded delimiter such as \`%2F\`, in its path.
- A verifier with \`GATEPASS_DATA_URL\` needs \`GATEPASS_DATA_SECRET\`.
- \`GATEPASS_SESSIONS_REPLICAS\` and \`GATEPASS_DATA_REPLICAS\` need a Redis.
- \`GATEPASS_REVOCATIONS_MAX_STALENESS_S\` is longer than \`GATEPASS_REVOCATIONS_POLL_S\`, and needs
  \`GATEPASS_REVOCATIONS\` on.
- A webhook needs \`GATEPASS_WEBHOOK_SECRET\`. Its URL has no user name, password, query or fragment.

With \`GATEPASS_MODE=production\`, the default:

- \`GATEPASS_ISSUER\` is https, unless its host is \`localhost\`, \`127.0.0.1\` or \`[::1]\`.
- \`GATEPASS_PLAYGROUND\` is \`false\`.
- Postgres, Redis and Memcached on other machines use TLS, unless \`GATEPASS_PLAINTEXT_STORES\` is \`true\`.
- A webhook is https, unless its host is \`localhost\`, \`127.0.0.1\` or \`[::1]\`.

## The settings file

The file is a JSON object of settings. Keep secrets in other files: use \`GATEPASS_SECRET_FILE\`, and
\`GATEPASS_SESSIONS_URL_FILE\` for a URL that contains a password.

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

A client is an application that requests tokens: a front end, a service, a command-line tool. A login without a
\`client_id\` uses the first client with the grant \`password\`. Each \`client_id\` is unique.

A public client (\`auth_method\` \`none\`) has no secret. Other clients authenticate by a secret or a key.
\`gatepass clients secret\` creates a secret and its hash. Only the hash belongs in the settings:

\`\`\`console
$ gatepass clients secret
{"secret":"gps_oUa5…","hash":"sha256.xor8…"}
\`\`\`

[Services](services.md#register-the-service) has a client with a secret. To replace a secret, add the new hash, give the
client the new secret, then remove the old hash.

On SIGHUP an issuer reads the clients again, from the settings file or from \`GATEPASS_CLIENTS_FILE\`. Other settings keep
their values until a restart. If the settings are invalid, or the clients are missing, nothing changes, and the log lists
every problem. A scope that you remove from a client is missing from the next token of each session.

Reload all issuers before an application uses a new client. An issuer without the client answers \`client_unknown\`, and a
front end then counts as signed out.
`

const clientRules = `
A scope says what the client may do for the user, not what the user may do. Put rights of users, such as
[roles](back-end.md#roles), into the account attributes, and let a scope turn them into claims.

- \`secret_hashes\` goes with \`client_secret_basic\` and \`client_secret_post\`; either \`jwks\` or \`jwks_uri\` goes with
  \`private_key_jwt\`.
- A client with \`client_credentials\` or token exchange must authenticate: its \`auth_method\` is not \`none\`.
- A client with \`authorization_code\` may ask for the scope \`openid\`, which needs no entry in \`scopes\`.
- The \`client_id\` \`gatepass-sign-in\` is reserved for the sessions of the issuer's own pages.
- \`redirect_uris\` and \`backchannel_logout_uri\` go with \`authorization_code\`, \`exchange_audiences\` with token
  exchange.

An attribute cannot replace a claim that Gatepass makes itself: \`iss\`, \`sub\`, \`aud\`,
\`exp\`, \`nbf\`, \`iat\`, \`jti\`, \`client_id\`, \`scope\`, \`sid\`, \`auth_time\`, \`amr\`, \`acr\`,
\`cnf\`, \`act\`. Each refresh reads the attributes again, so a changed attribute is in the next token.

If you remove a client from the settings, its sessions cannot refresh (\`client_unknown\`). Their access tokens
work until they expire.

Your list replaces the default clients, so keep those that you use. They are one for your front end, and one for
[the terminal](terminal.md#sign-in):
`

const audiences = `
## Audiences

Tokens for an audience in \`GATEPASS_AUDIENCES\` are [encrypted](verifier.md#encrypted-tokens), so that only its
verifiers can read them. Create the keys with \`gatepass keys encryption\`:

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

\`GATEPASS_DECRYPTION_KEYS\` is a list of private JWKs, each with a \`kid\`. Set it with
\`GATEPASS_DECRYPTION_KEYS_FILE\`.

- A key uses \`P-256\` (\`kty\` \`EC\`) or \`X25519\` (\`kty\` \`OKP\`). Its \`use\`, if present, is \`enc\`; its
  \`alg\`, if present, is \`ECDH-ES\`.
- Each audience with a key belongs to a client. A client with several audiences cannot use one that has a key,
  because an encrypted token has one recipient.
- \`GATEPASS_ALGORITHM\` cannot be \`ML-DSA-44\`: an encrypted token would be too long. After a change of the
  algorithm, wait until \`gatepass keys list\` shows no active or pending key of \`ML-DSA-44\`.
- \`GATEPASS_ENCRYPTED_TOKENS\` needs \`GATEPASS_DECRYPTION_KEYS\`.
`

if (import.meta.main) {
  writeFileSync(new URL('../docs/config.md', import.meta.url), configDocument())
}
