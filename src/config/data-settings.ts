import { z } from 'zod'
import type { FieldProblem } from '../core/errors.ts'
import { redisSchemes } from '../stores/redis/url.ts'
import { listOf, seconds, secret, storeUrl } from './forms.ts'
import { asList, asNumber, asText, environmentName, type Role, setting } from './setting.ts'

const day_s = 86_400
const both: readonly Role[] = ['issuer', 'verifier']
const verifier: readonly Role[] = ['verifier']

const off = 'off'
const defaultUrl = 'sqlite:.gatepass/data.db'

const schemes = ['sqlite:', ...redisSchemes, 'memcached:', 'memcacheds:']
const dataStoreUrl = z
  .string()
  .refine(
    (text) => text === off || storeUrl(...schemes).safeParse(text).success,
    `must be ${off}, or start with ${schemes.join(' or ')}`,
  )

interface DataSettings {
  readonly data_url?: string | undefined
  readonly data_secret: readonly string[]
}

/** Where session data is kept; null where there is none. */
export function dataUrl({ data_url, data_secret }: DataSettings): string | null {
  if (data_url === off) return null
  return data_url ?? (data_secret.length > 0 ? defaultUrl : null)
}

/** A verifier reads and writes values. An issuer only ends them, for which it needs no secret. */
export function dataProblems(settings: DataSettings, role: Role): FieldProblem[] {
  if (role === 'issuer' || dataUrl(settings) === null || settings.data_secret.length > 0) return []
  const detail = `is required with ${environmentName('data_url')}`
  return [{ pointer: environmentName('data_secret'), detail }]
}

/** Session data: where it is, and for how long. */
export const dataSettings = {
  data_url: setting(
    both,
    dataStoreUrl.optional(),
    asText,
    `Where [session data](session-data.md) is kept, or \`${off}\`. Without it there is none, but where GATEPASS_DATA_SECRET is set it is in \`${defaultUrl}\`. Verifiers read and write it; issuers end it with its session.`,
  ),
  data_secret: setting(
    both,
    listOf(z.array(secret).max(8).default([])),
    asList,
    'The secrets that session data is encrypted under, newest first: the first one encrypts, each decrypts. A verifier with session data must have one; an issuer needs it for `gatepass data export` alone. `gatepass dev` makes one.',
    { secret: true },
  ),
  data_deadline_ms: setting(
    both,
    z.int().min(10).max(10_000).default(250),
    asNumber,
    'How long a call to the store of session data may take; then the answer is 503.',
    { unit: 'milliseconds' },
  ),
  data_replicas: setting(
    both,
    z.int().min(0).max(16).default(0),
    asNumber,
    'How many replicas of a Redis must have a change of session data before it is acknowledged ([what a fail-over loses](session-data.md#what-each-loses-and-when)).',
  ),
  data_user_ttl_s: setting(
    verifier,
    seconds(1, 3650 * day_s).default(400 * day_s),
    asNumber,
    'How long the data of a user is kept after its last change.',
    { unit: 'seconds' },
  ),
  data_precondition: setting(
    verifier,
    z.enum(['optional', 'required']).default('optional'),
    asText,
    'Whether each change by `/data` must say what it expects, with `If-Match` or `If-None-Match: *`; 428 answers one that does not.',
  ),
}
