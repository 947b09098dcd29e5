import { join } from 'node:path'
import type { InjectOptions } from 'fastify'
import type { Test } from 'tap'
import { randomId } from '../../src/core/secrets.ts'
import { type DataLifetimes, DataService } from '../../src/data/data-service.ts'
import { createDataObserver, Metrics } from '../../src/http/metrics.ts'
import type { DataStore } from '../../src/stores/data-store.ts'
import { SqliteDataStore } from '../../src/stores/sqlite/data-store.ts'
import { createVerifier } from '../../src/verifier/verifier.ts'
import { FakeClock } from './clock.ts'
import { closedWith } from './closed-with.ts'
import { createTestFolder } from './test-folder.ts'
import { audience, claimsWith, issuer, makeKey, mint, now_s } from './tokens.ts'
import { openVerifierApp } from './verifier-app.ts'

export const dataSecret = 'd'.repeat(43)
export const lifetimes = {
  sessionMaxSeconds: 86_400,
  accessTtlSeconds: 300,
  userTtlSeconds: 100 * 86_400,
}
const decades_s = 20 * 365 * 86_400
/** For stores that use their own clock, which may be far ahead of the clock of the test. */
export const longLifetimes = {
  ...lifetimes,
  sessionMaxSeconds: decades_s,
  userTtlSeconds: decades_s,
}

const key = makeKey('ES256')

/** Returns the header that presents a token with these claims. */
export function tokenOf(changes: Readonly<Record<string, unknown>> = {}) {
  const payload = claimsWith({ scope: 'data:read data:write', ...changes })
  return { authorization: `Bearer ${mint(key, { payload })}` }
}

export function newDataStore(t: Test): DataStore {
  return closedWith(t, new SqliteDataStore(join(createTestFolder(t), randomId(), 'data.db')))
}

export interface VerifierOptions {
  readonly store?: DataStore
  readonly requiresPrecondition?: boolean
  readonly allowedOrigins?: readonly string[]
  readonly lifetimes?: DataLifetimes
}

/** Starts the verifier service with session data. Default store: SQLite. */
export async function startVerifier(t: Test, options: VerifierOptions = {}) {
  const { store = newDataStore(t), requiresPrecondition = false, allowedOrigins = [] } = options
  const clock = new FakeClock(now_s * 1000)
  const metrics = new Metrics()
  const observer = createDataObserver(metrics.registry)
  const secrets = [dataSecret] as const
  const verifier = createVerifier({ issuer, audience, jwks: { keys: [key.publicJwk] }, clock })
  const app = openVerifierApp(t, verifier, {
    service: { metrics },
    allowedOrigins,
    data: {
      data: new DataService({
        ...(options.lifetimes ?? lifetimes),
        store,
        secrets,
        clock,
        observer,
      }),
      requiresPrecondition,
    },
  })
  await app.ready()
  const call = (
    method: 'GET' | 'HEAD' | 'PUT' | 'DELETE' | 'POST' | 'OPTIONS',
    url: string,
    { headers = {}, ...rest }: Omit<InjectOptions, 'method' | 'url'> = {},
  ) => app.inject({ method, url, headers: { ...tokenOf(), ...headers }, ...rest })
  return {
    app,
    store,
    clock,
    metrics,
    call,
    get: (url: string, headers = {}) => call('GET', url, { headers }),
    put: (url: string, value: unknown, headers: Record<string, string> = {}) =>
      call('PUT', url, {
        headers: { 'content-type': 'application/json', ...headers },
        payload: JSON.stringify(value),
      }),
    remove: (url: string, headers = {}) => call('DELETE', url, { headers }),
  }
}
