import { randomBytes } from 'node:crypto'
import { builtOf } from '../../../harness/built.ts'
import type { SurgeOptions } from '../../result.ts'

type Environment = Readonly<Record<string, string>>

/** What the processes of Gatepass are given; all else is the default. */
export interface GatepassSettings {
  readonly issuer: Environment
  readonly verifier: Environment
  readonly shop: Environment
}

export interface GatepassPlaces {
  readonly url: string
  /** Where keys and revocations are. */
  readonly innerUrl: string
  readonly postgresUrl: string
  readonly sessionsUrl: string
  readonly dataUrl: string
}

/** Short, so that a rotation of keys fits into the surge: a new key signs 3.2 seconds after it came. */
const jwksMaxAge_s = 2
const clockSkew_s = 1

const blindWrites = new URL('blind-writes.ts', import.meta.url)

export function gatepassSettings(places: GatepassPlaces, options: SurgeOptions): GatepassSettings {
  const { argon2id, accessTtl_s, fault } = options
  const common = {
    GATEPASS_ISSUER: places.url,
    GATEPASS_AUDIENCE: places.url,
    GATEPASS_ACCESS_TTL_S: String(accessTtl_s),
    GATEPASS_DATA_URL: places.dataUrl,
    // What a fail-over must not lose is acknowledged when a replica has it.
    GATEPASS_DATA_REPLICAS: fault === 'lose-writes' ? '0' : '1',
  }
  const reader = {
    ...common,
    GATEPASS_JWKS_URL: `${places.innerUrl}/.well-known/jwks.json`,
    ...(fault === 'ignore-revocations' && { GATEPASS_REVOCATIONS: 'off' }),
  }
  const ports = { GATEPASS_PORT: '0', GATEPASS_ADMIN_PORT: '0' }
  return {
    issuer: {
      ...common,
      ...ports,
      GATEPASS_SECRET: newSecret(),
      GATEPASS_KEYS_SECRET: newSecret(),
      GATEPASS_ACCOUNTS_URL: places.postgresUrl,
      GATEPASS_KEYS_URL: places.postgresUrl,
      GATEPASS_SESSIONS_URL: places.sessionsUrl,
      GATEPASS_SESSIONS_REPLICAS: '1',
      GATEPASS_TRUSTED_PROXIES: '127.0.0.1',
      GATEPASS_ARGON2_MEMORY_KIB: String(argon2id.memory_kib),
      GATEPASS_ARGON2_PASSES: String(argon2id.passes),
      GATEPASS_ARGON2_PARALLELISM: String(argon2id.parallelism),
      GATEPASS_JWKS_MAX_AGE_S: String(jwksMaxAge_s),
      GATEPASS_CLOCK_SKEW_S: String(clockSkew_s),
      ...(fault === 'no-grace' && { GATEPASS_GRACE_S: '0' }),
    },
    verifier: { ...reader, ...ports, GATEPASS_DATA_URL: 'off' },
    shop: {
      ...reader,
      GATEPASS_DATA_SECRET: newSecret(),
      SHOP_PORT: '0',
      NODE_OPTIONS: [
        '--conditions=gatepass-source',
        ...(fault === 'blind-writes' ? [`--import=${builtOf(blindWrites).href}`] : []),
      ].join(' '),
    },
  }
}

function newSecret(): string {
  return randomBytes(32).toString('base64url')
}
