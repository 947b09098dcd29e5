import { z } from 'zod'
import { redisSchemes } from '../stores/redis/url.ts'
import { algorithmNames } from '../tokens/algorithms.ts'
import { audienceSettings } from './audience-settings.ts'
import { clientsSchema, defaultClients } from './clients.ts'
import { dataSettings } from './data-settings.ts'
import {
  addressRange,
  baseUrl,
  hostPattern,
  listOf,
  origin,
  port,
  seconds,
  secret,
  storeUrl,
  webhookSecret,
} from './forms.ts'
import { hashSettings } from './hash-settings.ts'
import { processSettings } from './process-settings.ts'
import { revocationSettings } from './revocation-settings.ts'
import {
  asFlag,
  asJson,
  asList,
  asNumber,
  asText,
  type Role,
  type Setting,
  setting,
} from './setting.ts'

const day_s = 86_400
const postgresSchemes = ['postgres:', 'postgresql:']
const both: readonly Role[] = ['issuer', 'verifier']
const issuer: readonly Role[] = ['issuer']
const verifier: readonly Role[] = ['verifier']

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
  admin_hosts: setting(
    both,
    listOf(z.array(hostPattern).max(100).default([])),
    asList,
    'Host names of the admin port, besides IP addresses, `localhost` and names without a dot ([why](operations.md#the-name-of-the-admin-port)).',
  ),
  accounts_url: setting(
    issuer,
    storeUrl('sqlite:', ...postgresSchemes, 'webhook+https://', 'webhook+http://').default(
      'sqlite:.gatepass/accounts.db',
    ),
    asText,
    'Where accounts are kept ([stores](stores.md)); `webhook+https://` and an address is an existing user base ([webhook](webhook.md)).',
  ),
  sessions_url: setting(
    issuer,
    storeUrl('sqlite:', ...postgresSchemes, ...redisSchemes).default(
      'sqlite:.gatepass/sessions.db',
    ),
    asText,
    'Where sessions, the revocation log and the counters of failed logins are kept ([stores](stores.md)).',
  ),
  sessions_replicas: setting(
    issuer,
    z.int().min(0).max(16).default(0),
    asNumber,
    'How many replicas of a Redis must have a login or a sign-out before it is acknowledged ([what a fail-over loses](stores.md#what-a-fail-over-loses)).',
  ),
  keys_url: setting(
    issuer,
    storeUrl('file:', ...postgresSchemes).default('file:keys'),
    asText,
    'Where signing keys are kept ([stores](stores.md)).',
  ),
  plaintext_stores: setting(
    both,
    z.boolean().default(false),
    asFlag,
    'Whether production may reach a store on another machine without TLS: on a network that nobody else is on.',
  ),
  keys_secret: setting(
    issuer,
    listOf(z.array(secret).max(8).default([])),
    asList,
    'The secrets that private signing keys are encrypted under where they are kept, newest first: the first one encrypts, each decrypts. Those of GATEPASS_SECRET stand behind them, and do it alone where none is set.',
    { secret: true },
  ),
  secret: setting(
    issuer,
    listOf(z.array(secret).min(1).max(8)),
    asList,
    'The secrets that refresh tokens are authenticated with, newest first: the first one mints, each is accepted. `gatepass dev` makes one; everywhere else it is required.',
    { secret: true },
  ),
  webhook_secret: setting(
    issuer,
    listOf(z.array(webhookSecret).max(8).default([])),
    asList,
    'The secrets that messages to an existing user base are signed with, newest first; required with a webhook. Each of them signs, so that both sides can be changed one by one.',
    { secret: true },
  ),
  algorithm: setting(
    issuer,
    z.enum(algorithmNames).default('ES256'),
    asText,
    'The algorithm that access tokens are signed with.',
  ),
  access_ttl_s: setting(
    both,
    seconds(1, day_s).default(300),
    asNumber,
    'How long an access token is valid.',
    { unit: 'seconds' },
  ),
  grace_s: setting(
    issuer,
    seconds(0, 600).default(10),
    asNumber,
    'The grace period: how long a replaced refresh token still works. 0 is the strict rule of RFC 9700 §4.14.',
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
    both,
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
    both,
    z.array(origin).max(100).default([]),
    asList,
    'Front ends on other origins. They may call the issuer with cookies (CORS with credentials), and `/whoami` and `/data` of a verifier with a token.',
  ),
  trusted_proxies: setting(
    both,
    listOf(z.array(addressRange).max(100).default([])),
    asList,
    'Reverse proxies in front of the service, as addresses or CIDR ranges. For the issuer their `X-Forwarded-For` says where a login comes from: behind a proxy that is not named here all users share one address, and its limits. For the verifier their `X-Forwarded-*` say which request [a DPoP proof](verifier.md#dpop) is for.',
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
    'The front ends that users sign in with: `client_id`, `audience`, `scopes` (each with the account attributes that become claims), `default_scope`, `dpop` (`required`: its tokens must be [bound to a key](security.md#tokens-bound-to-a-key); else they may). A login that names no client gets the first.',
  ),
  ...audienceSettings,
  ...hashSettings,
  public_url: setting(
    verifier,
    baseUrl.optional(),
    asText,
    'The address that clients call the services behind the proxy by, which [DPoP proofs](verifier.md#dpop) are for. Without it, that of the request.',
  ),
  jwks_url: setting(
    verifier,
    baseUrl.optional(),
    asText,
    'Where a verifier fetches the JWKS, when not below the address of the issuer (a name inside a cluster).',
  ),
  jwks_file: setting(
    verifier,
    z.string().min(1).max(4096).optional(),
    asText,
    'A file in which a verifier keeps the last JWKS, so that it can [start without the issuer](operations.md#a-start-without-the-issuer).',
  ),
  ...revocationSettings,
  ...dataSettings,
  ...processSettings,
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
