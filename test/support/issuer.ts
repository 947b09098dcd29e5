import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { pino } from 'pino'
import type { Test } from 'tap'
import { buildIssuerApp, createOwnKeys } from '../../src/http/issuer-app.ts'
import { Metrics } from '../../src/http/metrics.ts'
import type { Audit } from '../../src/issuer/audit.ts'
import type { Client } from '../../src/issuer/clients.ts'
import { ClockMonitor } from '../../src/issuer/clock-monitor.ts'
import { DpopNonces } from '../../src/issuer/dpop-nonces.ts'
import { createIssuer } from '../../src/issuer/issuer.ts'
import { PasswordHasher } from '../../src/issuer/passwords/password-hasher.ts'
import { RevocationFeed } from '../../src/issuer/revocation-feed.ts'
import { Sessions } from '../../src/issuer/sessions.ts'
import type { AudienceKeys } from '../../src/issuer/token-minter.ts'
import { Users } from '../../src/issuer/users.ts'
import { KeyManager } from '../../src/keys/key-manager.ts'
import { FileKeyStore } from '../../src/keys/key-store.ts'
import { createAuthorizationServer } from '../../src/oauth/authorization-server.ts'
import type { AccountStore, SessionStore } from '../../src/stores/ports.ts'
import { SqliteAccountStore } from '../../src/stores/sqlite/account-store.ts'
import { SqliteCounterStore } from '../../src/stores/sqlite/counter-store.ts'
import { SqliteSessionStore } from '../../src/stores/sqlite/session-store.ts'
import type { Algorithm } from '../../src/tokens/algorithms.ts'
import { DpopProofs } from '../../src/verifier/dpop/dpop-proofs.ts'
import { createVerifier, type Verifier } from '../../src/verifier/verifier.ts'
import { password } from './accounts.ts'
import { FakeClock } from './clock.ts'
import { cheapHashing } from './hashing.ts'
import { fetchThrough } from './http-server.ts'
import { policy } from './sessions.ts'
import { createTestFolder } from './test-folder.ts'
import { bearer, claimsOf } from './tokens.ts'

export { bearer, claimsOf, password }

export const issuerUrl = 'https://auth.example.com'
export const audience = 'https://api.example.com'
/** The secret that authenticates refresh tokens. */
export const secret = Buffer.from('a test secret of at least 32 characters')

/** Its processes end with this one. */
const cheapHasher = new PasswordHasher(cheapHashing)

export const webClient: Client = {
  client_id: 'web',
  scopes: { profile: ['name', 'roles'], 'data:read': [], 'data:write': [] },
  default_scope: 'data:read',
}

export interface TestIssuerOptions {
  /** The public URL. Default: `issuerUrl`. */
  readonly url?: string
  readonly clients?: readonly [Client, ...Client[]]
  readonly allowedOrigins?: readonly string[]
  readonly encryptionKeys?: AudienceKeys
  /** Keys that decrypt tokens at the issuer's own routes. */
  readonly decryptionKeys?: readonly object[]
  readonly algorithm?: Algorithm
  /** The `typ` of access tokens. */
  readonly tokenType?: 'at+jwt' | 'JWT'
  readonly cookieSecure?: boolean
  /** Whether DPoP proofs need nonces; a Buffer is the secret of the nonces. */
  readonly dpopNonces?: true | Buffer
  readonly cookieSuffix?: string
  readonly trustedProxies?: readonly string[]
  /** Closed with the issuer. Default: cheap hashes, whose processes all issuers of a test file share. */
  readonly hasher?: PasswordHasher
  /** Default: `debug`, which logs each request. */
  readonly logLevel?: 'debug' | 'info'
  readonly onAudit?: Audit
  /** The account store, closed with the issuer. Default: SQLite in a file. */
  readonly accounts?: AccountStore
  /** The session store, closed with the issuer. Default: SQLite in a file. */
  readonly sessions?: SessionStore
  /** The start of the clock. */
  readonly startMs?: number
  /** Whether to compare the clock with that of the session store, or with this uptime on SQLite. */
  readonly monitorClock?: true | { readonly uptimeMs: () => number }
  /** Registers further routes. */
  readonly extra?: (scope: FastifyInstance, parts: ExtraParts) => Promise<void>
}

export interface ExtraParts {
  readonly clock: FakeClock
  readonly keys: KeyManager
  readonly sessions: SessionStore
  readonly verifier: Verifier
}

/** Starts a whole issuer on real stores in its own folder, with cheap hashes and a fake clock. */
export async function startIssuer(t: Test, options: TestIssuerOptions = {}) {
  const { url = issuerUrl } = options
  const folder = createTestFolder(t)
  const clock = new FakeClock(options.startMs)
  const lines: Record<string, unknown>[] = []
  const logger = pino(
    { level: options.logLevel ?? 'debug' },
    { write: (line: string) => lines.push(JSON.parse(line)) },
  )
  const accounts = options.accounts ?? new SqliteAccountStore(join(folder, 'accounts.db'))
  const sessionsPath = join(folder, 'sessions.db')
  const sessions = options.sessions ?? new SqliteSessionStore(sessionsPath)
  const counters = new SqliteCounterStore(sessionsPath)
  const hasher = options.hasher ?? cheapHasher
  const keys = await KeyManager.open({
    store: new FileKeyStore(join(folder, 'keys')),
    secrets: [String(secret)],
    algorithm: options.algorithm ?? 'ES256',
    policy: {
      rotationMs: 30 * 86_400_000,
      jwksMaxAgeMs: 300_000,
      clockSkewMs: 5_000,
      accessTtlMs: 300_000,
    },
    clock,
  })
  const clockMonitor = await openClockMonitor(options.monitorClock, sessions, clock)
  const revocations = await RevocationFeed.open({
    sessions,
    clock,
    expiryClock: clockMonitor?.expiryClock ?? clock,
    keptMs: policy.revokedKeptMs,
  })
  const metrics = new Metrics()
  const nonces = options.dpopNonces
    ? new DpopNonces({
        issuer: url,
        secrets: [options.dpopNonces === true ? secret : options.dpopNonces],
        clockToleranceSeconds: 5,
        clock,
      })
    : undefined
  const ownKeys = createOwnKeys(keys)
  const verifier = createVerifier({
    issuer: url,
    audience: null,
    keys: ownKeys,
    clock,
    dpopNonces: nonces,
    ...(options.tokenType && { tokenTypes: ['at+jwt', options.tokenType] }),
    ...(options.decryptionKeys && {
      decryptionKeys: options.decryptionKeys,
      encryptedTokens: 'optional',
    }),
  })
  const { onAudit, extra } = options
  const sessionPolicy = { ...policy, maxMs: 86_400_000 }
  const issuer = createIssuer({
    policy: {
      issuer: url,
      audience,
      accessTtlSeconds: 300,
      clockSkewSeconds: 5,
      tokenType: options.tokenType ?? 'at+jwt',
      clients: options.clients ?? [webClient],
      encryptionKeys: options.encryptionKeys ?? new Map(),
      session: sessionPolicy,
    },
    stores: { accounts, sessions, counters },
    secrets: [secret],
    signingKey: () => keys.signingKey(),
    hasher,
    revocations,
    clock,
    checkClock: async () => clockMonitor?.checkSignOut(),
  })
  const oauth = createAuthorizationServer({
    issuer,
    store: sessions,
    verifier,
    keys: ownKeys,
    secrets: [secret],
    clockToleranceSeconds: 5,
    backchannel: { backoff: { minMs: 10, maxMs: 10 } },
  })
  const app = buildIssuerApp({
    service: {
      logger,
      metrics,
      version: '0.0.0-test',
      trustedProxies: options.trustedProxies ?? [],
    },
    issuer,
    oauth,
    keys,
    verifier,
    proofs: new DpopProofs({ clockToleranceSeconds: 5, clock, nonces }),
    nonces,
    frontEnd: {
      cookieSecure: options.cookieSecure ?? true,
      ...(options.cookieSuffix && { cookieSuffix: options.cookieSuffix }),
      allowedOrigins: options.allowedOrigins ?? [],
    },
    hooks: {
      ...(onAudit && { onAudit }),
      ...(extra && { routes: [(scope) => extra(scope, { clock, keys, sessions, verifier })] }),
    },
  })
  const users = new Users({
    accounts,
    sessions: new Sessions({
      store: sessions,
      policy: sessionPolicy,
      clock,
      checkClock: async () => {},
    }),
    hasher,
    clock,
  })
  t.teardown(async () => {
    const closed = app.close()
    // A client that keeps its connection would delay the end of the test by seconds.
    app.server.closeAllConnections()
    await closed
    await Promise.all([keys, revocations, clockMonitor, oauth].map((one) => one?.close()))
    const opened = [accounts, sessions, counters, options.hasher]
    await Promise.all(opened.map((one) => one?.close()))
  })
  await app.ready()
  await users.add({
    loginName: 'ada',
    password,
    attributes: { name: 'Ada', roles: ['admin'], secret_note: 'not for tokens' },
  })

  const call = (request: InjectOptions) => app.inject(request)
  /** Serves HTTP on 127.0.0.1. Each call returns the same address. */
  const listen = async () => {
    if (!app.server.listening) await app.listen({ host: '127.0.0.1', port: 0 })
    const { port } = app.server.address() as AddressInfo
    return { port, url: `http://127.0.0.1:${port}`, fetch: fetchThrough(url, port) }
  }
  const login = (extra: Record<string, unknown> = {}) =>
    call({ method: 'POST', url: '/login', body: { username: 'ada', password, ...extra } })
  return {
    app,
    issuer,
    oauth,
    call,
    listen,
    clock,
    keys,
    revocations,
    clockMonitor,
    accounts,
    metrics,
    sessions,
    sessionsPath,
    users,
    lines,
    /** Returns the audit lines of the log so far. */
    audit: () => lines.filter((line) => line.audit === true),
    login,
    /** Signs in and returns the tokens, the refresh token in the body. */
    async signIn(extra: Record<string, unknown> = {}) {
      const response = await login({ refresh_token_in: 'body', ...extra })
      return response.json() as {
        access_token: string
        refresh_token: string
        session_id: string
        scope: string
      }
    },
    refresh: (refresh_token: string, headers: Record<string, string> = {}) =>
      call({ method: 'POST', url: '/refresh', body: { refresh_token }, headers }),
  }
}

function openClockMonitor(
  given: TestIssuerOptions['monitorClock'],
  sessions: SessionStore,
  clock: FakeClock,
) {
  if (given === undefined) return null
  const uptime = given === true ? {} : given
  return ClockMonitor.open({
    ...uptime,
    sessions,
    clock,
    skewMs: 5_000,
    keptMs: policy.revokedKeptMs,
  })
}

export type TestIssuer = Awaited<ReturnType<typeof startIssuer>>
