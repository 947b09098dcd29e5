import { z } from 'zod'
import { algorithmNames } from '../tokens/algorithms.ts'
import { clientsSchema, defaultClients } from './clients.ts'
import { asFlag, asJson, asList, asNumber, asText, type Role, type Setting } from './setting.ts'

const day_s = 86_400
const both: readonly Role[] = ['issuer', 'verifier']
const issuer: readonly Role[] = ['issuer']
const verifier: readonly Role[] = ['verifier']

const seconds = (min: number, max: number) => z.int().min(min).max(max)
const port = z.int().min(0).max(65_535)

/** `http(s)://host[:port][/path]`, nothing behind it: RFC 8414 §2 wants neither query nor fragment. */
const baseUrl = z.string().refine((text) => {
  const url = URL.parse(text)
  return (
    url !== null &&
    (url.protocol === 'https:' || url.protocol === 'http:') &&
    !/[?#\s]|\/$/.test(text) &&
    url.username === ''
  )
}, 'must be an http(s) URL without a trailing slash, query or fragment')

const origin = z
  .string()
  .refine(
    (text) => URL.parse(text)?.origin === text,
    'must be an origin such as https://app.example',
  )

const storeUrl = (...schemes: string[]) =>
  z
    .string()
    .refine(
      (text) => schemes.some((scheme) => text.startsWith(scheme) && text.length > scheme.length),
      `must start with ${schemes.join(' or ')}`,
    )

const secret = z.string().min(32, 'must have at least 32 characters').max(1024)

type Extras = Partial<Pick<Setting, 'unit' | 'secret' | 'defaultByRole'>>

function setting<T>(
  roles: readonly Role[],
  schema: z.ZodType<T>,
  fromText: Setting['fromText'],
  description: string,
  extras: Extras = {},
) {
  return { roles, schema, fromText, description, unit: '', secret: false, ...extras }
}

/** Every setting there is, in the order that the documentation shows. */
const table = {
  mode: setting(
    both,
    z.enum(['production', 'development']).default('production'),
    asText,
    'In `production` unsafe settings refuse to start. `gatepass dev` sets `development`.',
  ),
  issuer: setting(
    both,
    baseUrl.default('http://localhost:4000'),
    asText,
    'The `iss` of every token, and the public base address of the issuer. In production it must be https, unless its host is this machine.',
  ),
  audience: setting(
    both,
    z.string().min(1).max(256).default('http://localhost'),
    asText,
    'The default `aud` of minted tokens, and the one that a verifier accepts.',
  ),
  host: setting(both, z.string().min(1).default('127.0.0.1'), asText, 'The address to listen on.'),
  port: setting(both, port, asNumber, 'The port to listen on; 0 takes a free one.', {
    defaultByRole: { issuer: 4000, verifier: 4100 },
  }),
  admin_port: setting(
    both,
    port,
    asNumber,
    'The port for `/livez`, `/readyz` and `/metrics`; 0 takes a free one.',
    { defaultByRole: { issuer: 4001, verifier: 4101 } },
  ),
  accounts_url: setting(
    issuer,
    storeUrl('sqlite:').default('sqlite:.gatepass/accounts.db'),
    asText,
    'Where accounts are kept.',
  ),
  sessions_url: setting(
    issuer,
    storeUrl('sqlite:').default('sqlite:.gatepass/sessions.db'),
    asText,
    'Where sessions are kept.',
  ),
  keys_url: setting(
    issuer,
    storeUrl('file:').default('file:keys'),
    asText,
    'Where signing keys are kept.',
  ),
  secret: setting(
    issuer,
    z.preprocess(
      (value) => (typeof value === 'string' ? asList(value) : value),
      z.array(secret).min(1).max(8),
    ),
    asList,
    'The secrets that refresh tokens are authenticated with, newest first: the first one mints, each is accepted. `gatepass dev` makes one; everywhere else it is required.',
    { secret: true },
  ),
  algorithm: setting(
    issuer,
    z.enum(algorithmNames).default('ES256'),
    asText,
    'The algorithm that access tokens are signed with.',
  ),
  access_ttl_s: setting(
    issuer,
    seconds(1, day_s).default(300),
    asNumber,
    'How long an access token is valid.',
    { unit: 'seconds' },
  ),
  grace_s: setting(
    issuer,
    seconds(0, 600).default(10),
    asNumber,
    'How long a replaced refresh token still answers; 0 is the strict rule of RFC 9700 §4.14.',
    { unit: 'seconds' },
  ),
  session_idle_s: setting(
    issuer,
    seconds(1, 400 * day_s).default(14 * day_s),
    asNumber,
    'A session that is not refreshed for this long ends.',
    { unit: 'seconds' },
  ),
  session_max_s: setting(
    issuer,
    seconds(1, 400 * day_s).default(90 * day_s),
    asNumber,
    'A session ends after this time, however often it is refreshed.',
    { unit: 'seconds' },
  ),
  key_rotation_s: setting(
    issuer,
    seconds(1, 400 * day_s).default(30 * day_s),
    asNumber,
    'How long one signing key signs.',
    { unit: 'seconds' },
  ),
  jwks_max_age_s: setting(
    issuer,
    seconds(1, day_s).default(300),
    asNumber,
    'How long a verifier may keep its copy of the JWKS.',
    { unit: 'seconds' },
  ),
  clock_skew_s: setting(
    both,
    seconds(0, 60).default(5),
    asNumber,
    'How far apart the clocks of two machines may be.',
    { unit: 'seconds' },
  ),
  allowed_origins: setting(
    issuer,
    z.array(origin).max(100).default([]),
    asList,
    'Front ends on other origins that may call with cookies (CORS with credentials).',
  ),
  cookie_secure: setting(
    issuer,
    z.boolean().default(true),
    asFlag,
    'Whether the refresh cookie needs https (`__Host-` name and `Secure`; browsers and curl count localhost as safe). `false` is for development only.',
  ),
  clients: setting(
    issuer,
    clientsSchema.default(defaultClients),
    asJson,
    'The front ends that users sign in with: `client_id`, `audience`, `scopes` (each with the account attributes that become claims), `default_scope`. A login that names no client gets the first.',
  ),
  argon2_memory_kib: setting(
    issuer,
    z.int().min(8).max(1_048_576).default(19_456),
    asNumber,
    'Memory of one Argon2id hash. A hash made with less is made again at the next login.',
    { unit: 'KiB' },
  ),
  argon2_passes: setting(
    issuer,
    z.int().min(1).max(64).default(2),
    asNumber,
    'Passes of Argon2id over its memory.',
  ),
  argon2_parallelism: setting(
    issuer,
    z.int().min(1).max(16).default(1),
    asNumber,
    'Lanes of Argon2id.',
  ),
  hash_queue_max: setting(
    issuer,
    z.int().min(1).max(100_000).default(256),
    asNumber,
    'How many logins may wait for their hash; the next one gets 503 and Retry-After.',
  ),
  jwks_url: setting(
    verifier,
    baseUrl.optional(),
    asText,
    'Where a verifier fetches the JWKS, when not below the address of the issuer (a name inside a cluster).',
  ),
  log_level: setting(
    both,
    z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
    asText,
    'The least severe log line that is written. Audit lines are `info`; `debug` adds one line a request.',
  ),
  workers: setting(
    both,
    z.int().min(1).max(256).default(1),
    asNumber,
    'Processes behind one port. Each is a replica like any other; the admin port speaks for all.',
  ),
  drain_s: setting(
    both,
    seconds(0, 300).default(0),
    asNumber,
    'How long the service goes on answering after SIGTERM has turned its readiness to 503.',
    { unit: 'seconds' },
  ),
  shutdown_s: setting(
    both,
    seconds(1, 300).default(10),
    asNumber,
    'How long requests in flight may take to end after that.',
    { unit: 'seconds' },
  ),
}

export type SettingName = keyof typeof table

/** The value of every setting. */
export type Settings = { readonly [N in SettingName]: z.infer<(typeof table)[N]['schema']> }

export const settings: readonly (Setting & { readonly name: SettingName })[] = Object.entries(
  table,
).map(([name, rest]) => ({ name: name as SettingName, ...rest }))

/** The settings that a process of this role reads. */
export function settingsOf(role: Role) {
  return settings.filter((one) => one.roles.includes(role))
}
