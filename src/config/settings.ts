import * as z from 'zod'
import type { KeyPolicy } from '../keys/lifecycle.ts'
import { postgresSchemes } from '../stores/postgres/url.ts'
import { redisSchemes } from '../stores/redis/url.ts'
import { tokenTypes } from '../tokens/access-token.ts'
import { algorithmNames } from '../tokens/algorithms.ts'
import { importDecryptionKey, importEncryptionKey } from '../tokens/encryption-key.ts'
import { parseStrictJson } from '../tokens/strict-decoding.ts'
import { clientsSchema, defaultClients } from './clients.ts'
import {
  addressRange,
  audienceName,
  baseUrl,
  hostPattern,
  jwk,
  listenHost,
  origin,
  port,
  seconds,
  secret,
  storeUrl,
  uniqueList,
  webhookSecret,
} from './validators.ts'

export type Role = 'issuer' | 'verifier'

/** A setting: its meaning, its allowed values, and how its text form is parsed. */
export interface Setting {
  /** Name in the settings file. The environment variable is `GATEPASS_` and this name in capitals. */
  readonly name: SettingName
  /** Validates a value and supplies the default. */
  readonly schema: z.ZodType
  /** Parses the text of an environment variable into the input of the schema. */
  readonly fromText: (text: string) => unknown
  readonly description: string
  /** Unit of a number; '' for everything else. */
  readonly unit: string
  /** The value is never shown. */
  readonly secret: boolean
  /** The processes that read the setting. */
  readonly roles: readonly Role[]
  /** The default, if it differs by role. */
  readonly defaultByRole?: Readonly<Record<Role, unknown>>
}

type Extras = Partial<Pick<Setting, 'secret' | 'defaultByRole'>>

/** Returns a function that declares settings of one kind. A setting's name is its key in the table. */
function declare(fromText: Setting['fromText']) {
  return <T>(
    roles: readonly Role[],
    schema: z.ZodType<T>,
    description: string,
    extras: Extras = {},
  ) => ({ roles, schema, fromText, description, secret: false, ...extras })
}

const text = declare((text) => text)
const number = declare(asNumber)
const flag = declare(asFlag)
const json = declare(asJson)

/** Declares a list, which the settings file may also give as one text. */
function list<T>(
  roles: readonly Role[],
  schema: z.ZodType<T>,
  description: string,
  extras?: Extras,
) {
  const items = z.preprocess((value) => (typeof value === 'string' ? asList(value) : value), schema)
  return declare(asList)(roles, items, description, extras)
}

const day_s = 86_400
const dataSchemes = ['sqlite:', ...redisSchemes, 'memcached:', 'memcacheds:']
const defaultDataUrl = 'sqlite:.gatepass/data.db'
const both: readonly Role[] = ['issuer', 'verifier']
const issuer: readonly Role[] = ['issuer']
const verifier: readonly Role[] = ['verifier']

/** An audience whose tokens are encrypted. */
const audienceSchema = z.strictObject({
  audience: audienceName,
  /** The public JWK that the tokens are encrypted for, with a `kid`. */
  encryption_key: jwk(importEncryptionKey),
})

const audiencesSchema = uniqueList(z.array(audienceSchema).max(1000), 'audience')
const decryptionKeysSchema = uniqueList(z.array(jwk(importDecryptionKey)).max(16), 'kid')

/** All settings, in the order of the documentation. */
const table = {
  mode: text(
    both,
    z.enum(['production', 'development']).default('production'),
    'In `production`, unsafe settings prevent startup. In `development`, the answer to a refused token names [its wrong claims](errors.md#wrong-claims).',
  ),
  issuer: text(
    both,
    baseUrl.default('http://localhost:4000'),
    'The `iss` of every token, and the public base URL of the issuer.',
  ),
  audience: text(
    both,
    audienceName.default('http://localhost'),
    'The default `aud` of issued tokens, and the `aud` that a verifier accepts.',
  ),
  host: text(
    both,
    listenHost.default('127.0.0.1'),
    'The address to listen on. `localhost` means `127.0.0.1`.',
  ),
  port: number(both, port, 'The port to listen on; 0 picks a free one.', {
    defaultByRole: { issuer: 4000, verifier: 4100 },
  }),
  admin_port: number(
    both,
    port,
    'The port of `/livez`, `/readyz` and `/metrics`; 0 picks a free one.',
    { defaultByRole: { issuer: 4001, verifier: 4101 } },
  ),
  admin_hosts: list(
    both,
    z.array(hostPattern).max(100).default([]),
    '[Host names of the admin port](operations.md#the-name-of-the-admin-port), besides IP addresses, `localhost` and names without a dot.',
  ),
  accounts_url: text(
    issuer,
    storeUrl('sqlite:', ...postgresSchemes, 'webhook+https://', 'webhook+http://').default(
      'sqlite:.gatepass/accounts.db',
    ),
    'The store of accounts ([stores](stores.md)). `webhook+https://` and an address is an existing user base ([webhook](webhook.md)).',
  ),
  sessions_url: text(
    issuer,
    storeUrl('sqlite:', ...postgresSchemes, ...redisSchemes).default(
      'sqlite:.gatepass/sessions.db',
    ),
    'The store of sessions, the revocation log and the counters of failed logins ([stores](stores.md)).',
  ),
  sessions_replicas: number(
    issuer,
    z.int().min(0).max(16).default(0),
    'Redis replicas that must confirm a login or a sign-out before it is acknowledged ([what a fail-over loses](stores.md#what-a-fail-over-loses)).',
  ),
  keys_url: text(
    issuer,
    storeUrl('file:', ...postgresSchemes).default('file:keys'),
    'The store of signing keys ([stores](stores.md)).',
  ),
  plaintext_stores: flag(
    both,
    z.boolean().default(false),
    'Allows stores on other machines without TLS in production. Safe only on a private network.',
  ),
  keys_secret: list(
    issuer,
    z.array(secret).max(8).default([]),
    '[The secrets that encrypt private signing keys](operations.md#the-key-secret), newest first: the first encrypts, all decrypt. Unset means those of GATEPASS_SECRET.',
    { secret: true },
  ),
  secret: list(
    issuer,
    z.array(secret).min(1, 'must not be empty').max(8),
    '[The secrets that authenticate refresh tokens](operations.md#the-refresh-secret), newest first: the first signs new tokens, all are accepted.',
    { secret: true },
  ),
  webhook_secret: list(
    issuer,
    z.array(webhookSecret).max(8).default([]),
    '[The secrets that sign messages to a user base](webhook.md#replace-the-secret), newest first. All secrets sign.',
    { secret: true },
  ),
  algorithm: text(
    issuer,
    z.enum(algorithmNames).default('ES256'),
    'The signature algorithm of access tokens and ID tokens.',
  ),
  access_ttl_s: number(both, seconds(1, day_s).default(300), 'The lifetime of an access token.'),
  token_type: text(
    both,
    z.enum(tokenTypes).default('at+jwt'),
    'The `typ` of access tokens. `JWT` is for gateways that refuse `at+jwt`: an issuer signs it, and verifiers accept both.',
  ),
  grace_s: number(
    issuer,
    seconds(0, 600).default(10),
    'The grace period: how long a replaced refresh token still answers. 0 is the strict rule of RFC 9700 §4.14.',
  ),
  session_idle_s: number(
    issuer,
    seconds(1, 400 * day_s).default(14 * day_s),
    'A session that is not refreshed for this long expires.',
  ),
  session_max_s: number(
    both,
    seconds(1, 400 * day_s).default(90 * day_s),
    'The longest lifetime of a session, however often it is refreshed.',
  ),
  key_rotation_s: number(
    issuer,
    seconds(3, 400 * day_s).default(30 * day_s),
    'How long a signing key signs.',
  ),
  jwks_max_age_s: number(
    issuer,
    seconds(1, day_s).default(300),
    'How long a verifier may use its copy of the JWKS.',
  ),
  clock_skew_s: number(
    both,
    seconds(1, 60).default(5),
    'The largest difference between the clocks of two machines.',
  ),
  allowed_origins: list(
    both,
    z.array(origin).max(100).default([]),
    'Front ends on other origins. They may call the issuer with cookies (CORS with credentials), and `/whoami` and `/data` of a verifier with a token.',
  ),
  trusted_proxies: list(
    both,
    z.array(addressRange).max(100).default([]),
    'Reverse proxies in front of the service, as addresses or CIDR ranges. The issuer takes [the client address](operations.md#behind-a-reverse-proxy) from their `X-Forwarded-For`, the verifier the target of [a DPoP proof](verifier.md#dpop) from their `X-Forwarded-*`.',
  ),
  clients: json(
    issuer,
    clientsSchema.default(defaultClients),
    '[The applications](#clients) that ask for tokens.',
  ),
  dpop_nonce: text(
    issuer,
    z.enum(['off', 'required']).default('off'),
    'Whether DPoP proofs at the issuer must have [a nonce of the issuer](security.md#nonces-of-the-issuer).',
  ),
  audiences: json(
    issuer,
    audiencesSchema.default([]),
    'The audiences whose tokens are [encrypted](verifier.md#encrypted-tokens): `audience` and `encryption_key`, a public JWK.',
  ),
  decryption_keys: json(
    both,
    decryptionKeysSchema.default([]),
    'The private JWKs that decrypt tokens for the audience of a verifier. An issuer needs them only [for its own routes](verifier.md#at-the-issuers-own-routes).',
    { secret: true },
  ),
  encrypted_tokens: text(
    verifier,
    z.enum(['required', 'optional']).optional(),
    'Whether a token must be encrypted if GATEPASS_DECRYPTION_KEYS is set. Unset means `required`; `optional` is for a migration.',
  ),
  argon2_memory_kib: number(
    issuer,
    z.int().min(8).max(1_048_576).default(19_456),
    'Memory of one Argon2id hash. A hash with less memory is replaced at the next login.',
  ),
  argon2_passes: number(
    issuer,
    z.int().min(1).max(64).default(2),
    'Passes of Argon2id over its memory.',
  ),
  argon2_parallelism: number(
    issuer,
    z.int().min(1).max(16).default(1),
    'Parallel lanes of Argon2id.',
  ),
  hash_queue_max: number(
    issuer,
    z.int().min(1).max(100_000).default(256),
    'Logins that may wait for their password hash. Further logins get 503.',
  ),
  hash_queue_wait_s: number(
    issuer,
    seconds(1, 60).default(2),
    'Longest wait of a login for its password hash. A login that would wait longer gets 503 immediately. The browser client gives up after 8 seconds.',
  ),
  public_url: text(
    verifier,
    baseUrl.optional(),
    'The public address of the services behind the proxy, which [DPoP proofs](verifier.md#dpop) are for. Unset means the address of the request.',
  ),
  jwks_url: text(
    verifier,
    baseUrl.optional(),
    'The address of the JWKS, if it is not below the address of the issuer (a name inside a cluster).',
  ),
  jwks_file: text(
    verifier,
    z.string().min(1).max(4096).optional(),
    'A file with the last JWKS, so that a verifier can [start without the issuer](operations.md#start-without-the-issuer).',
  ),
  revocations: text(
    verifier,
    z.enum(['stream', 'poll', 'off']).default('stream'),
    'How a verifier receives [revocations](verifier.md#revocations). `stream` polls while no stream is available. `off`: a token is accepted until it expires.',
  ),
  revocations_url: text(
    verifier,
    baseUrl.optional(),
    'The address of the revocation feed. Unset means `/revocations` beside the `/.well-known` of GATEPASS_JWKS_URL, or below the address of the issuer.',
  ),
  revocations_poll_s: number(
    verifier,
    seconds(1, 3600).default(5),
    'The interval of polls while no stream is available.',
  ),
  revocations_max_staleness_s: number(
    verifier,
    seconds(10, day_s).optional(),
    'A verifier whose revocations are older answers 503 ([fail closed](verifier.md#fail-open-or-closed)). Unset means fail open.',
  ),
  data_url: text(
    both,
    z
      .string()
      .refine(
        (text) => text === 'off' || storeUrl(...dataSchemes).safeParse(text).success,
        `must be off, or start with ${dataSchemes.join(' or ')}`,
      )
      .optional(),
    `The store of [session data](session-data.md), or \`off\`. Unset means \`${defaultDataUrl}\` if GATEPASS_DATA_SECRET is set, and else \`off\`. Verifiers read and write session data; issuers delete it with its session.`,
  ),
  data_secret: list(
    both,
    z.array(secret).max(8).default([]),
    '[The secrets that encrypt session data](session-data.md#encryption), newest first: the first encrypts, all decrypt. An issuer needs one only for `gatepass data export`.',
    { secret: true },
  ),
  data_deadline_ms: number(
    both,
    z.int().min(10).max(10_000).default(250),
    'Timeout of a call to the store of session data; the answer is then 503.',
  ),
  data_replicas: number(
    both,
    z.int().min(0).max(16).default(0),
    'Redis replicas that must confirm a change of session data before it is acknowledged ([what a fail-over loses](session-data.md#durability)).',
  ),
  data_user_ttl_s: number(
    verifier,
    seconds(1, 3650 * day_s).default(400 * day_s),
    'How long the data of a user is kept after its last change.',
  ),
  data_precondition: text(
    verifier,
    z.enum(['optional', 'required']).default('optional'),
    'Whether each change by `/data` must carry `If-Match` or `If-None-Match: *`.',
  ),
  playground: flag(
    issuer,
    z.boolean().default(false),
    'Serves [the playground](playground.md#access). `gatepass dev` turns it on. Not available with several workers.',
  ),
  log_level: text(
    both,
    z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
    'The lowest severity that is logged. Audit lines are `info`; `debug` adds one line per request.',
  ),
  workers: number(
    both,
    z.int().min(1).max(256).default(1),
    '[Processes](operations.md#processes) behind one port.',
  ),
  drain_s: number(
    both,
    seconds(0, 300).default(5),
    'How long the service accepts requests after SIGTERM has turned its readiness to 503. Set it longer than the health-check interval of the balancer.',
  ),
  shutdown_s: number(
    both,
    seconds(1, 300).default(10),
    'How long requests in progress may take to finish after GATEPASS_DRAIN_S.',
  ),
}

export type SettingName = keyof typeof table

/** The value of every setting. */
export type Settings = { readonly [N in SettingName]: z.infer<(typeof table)[N]['schema']> }

export const settings: readonly Setting[] = Object.entries(table).map(([name, rest]) => ({
  name: name as SettingName,
  unit: unitOf(name),
  ...rest,
}))

/** Returns the settings that a process of this role reads. */
export function settingsOf(role: Role) {
  return settings.filter((one) => one.roles.includes(role))
}

export function keyPolicy(settings: Settings): KeyPolicy {
  return {
    rotationMs: settings.key_rotation_s * 1000,
    jwksMaxAgeMs: settings.jwks_max_age_s * 1000,
    clockSkewMs: settings.clock_skew_s * 1000,
    accessTtlMs: settings.access_ttl_s * 1000,
  }
}

/** Returns the URL of the session data store, or null if session data is off. */
export function dataUrl({
  data_url,
  data_secret,
}: Pick<Settings, 'data_url' | 'data_secret'>): string | null {
  if (data_url === 'off') return null
  return data_url ?? (data_secret.length > 0 ? defaultDataUrl : null)
}

/** Returns the environment variable of a setting: `access_ttl_s` → `GATEPASS_ACCESS_TTL_S`. */
export function environmentName(name: string): string {
  return `GATEPASS_${name.toUpperCase()}`
}

/** The name of a number ends in the unit of the number. */
function unitOf(name: string): string {
  const [, suffix = ''] = /_(s|ms|kib)$/.exec(name) ?? []
  return { s: 'seconds', ms: 'milliseconds', kib: 'KiB' }[suffix] ?? ''
}

/** Text that is not a number is returned unchanged, so that the schema reports the problem. */
function asNumber(text: string): unknown {
  return text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text
}

function asFlag(text: string): unknown {
  return { true: true, '1': true, false: false, '0': false }[text.trim().toLowerCase()] ?? text
}

/** Splits a list at commas and white space. */
function asList(text: string): unknown {
  return text.split(/[\s,]+/).filter((item) => item !== '')
}

export function asJson(text: string): unknown {
  return parseStrictJson(Buffer.from(text)) ?? text
}
