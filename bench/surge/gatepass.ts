import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Answer } from '../harness/http.ts'
import { type Environment, runCommand, startServer, startService } from '../harness/processes.ts'
import { hashSettings, importUsers, newSecret } from '../issuer.ts'
import { password } from '../passwords.ts'
import { startPostgres } from '../stores.ts'
import {
  type ClientScheme,
  cookiesOf,
  post,
  type Session,
  type System,
  type SystemContext,
  tokenSession,
} from './system.ts'

/** With short times, key rotations fit into the surge: a new key signs after 6.5 seconds. */
const shortKeys = { GATEPASS_JWKS_MAX_AGE_S: '5', GATEPASS_CLOCK_SKEW_S: '1' }

/**
 * Gatepass as docs/operations.md and examples/ set it up: accounts and keys in Postgres, sessions and carts
 * in Redis. Each change is on a replica before it is acknowledged.
 */
const gatepass = createSystem('gatepass', 'Gatepass', (env) => env)

/** Without features that the rivals lack: forward-auth, encryption, and confirmed changes of sessions. */
const plainGatepass = createSystem('gatepass-plain', 'Gatepass, as the others run', (env) => ({
  issuer: { ...env.issuer, GATEPASS_SESSIONS_REPLICAS: '0' },
  shop: { ...env.shop, GATEPASS_DATA_SECRET: 'off' },
}))

/** With sessions in Postgres, which crashes and starts again. */
const gatepassOnPostgres = createSystem(
  'gatepass-postgres',
  'Gatepass, sessions in Postgres',
  ({ issuer, ...others }) => ({
    issuer: { ...issuer, ...sessionsIn(issuer.GATEPASS_ACCOUNTS_URL) },
    ...others,
  }),
)

/** With sessions and carts in files of one machine, so no store can fail over. */
const gatepassOnSqlite = createSystem(
  'gatepass-sqlite',
  'Gatepass, sessions and carts in SQLite',
  ({ issuer, verifier, shop }, folder) => {
    const data = {
      GATEPASS_DATA_URL: `sqlite:${join(folder, 'data.db')}`,
      GATEPASS_DATA_REPLICAS: '0',
    }
    const sessions = sessionsIn(`sqlite:${join(folder, 'sessions.db')}`)
    return { issuer: { ...issuer, ...data, ...sessions }, verifier, shop: { ...shop, ...data } }
  },
)

export const gatepassSystems = [gatepass, gatepassOnPostgres, gatepassOnSqlite, plainGatepass]

function sessionsIn(url: string) {
  return { GATEPASS_SESSIONS_URL: url, GATEPASS_SESSIONS_REPLICAS: '0' }
}

type Environments = ReturnType<typeof environments>
/** Without a verifier there is no forward-auth. */
type Chosen = Pick<Environments, 'issuer' | 'shop'> & Partial<Environments>

function createSystem(
  name: string,
  title: string,
  choose: (env: Environments, folder: string) => Chosen,
): System {
  return {
    name,
    title,
    async prepare(ctx) {
      const { bench, options } = ctx
      const folder = join(bench.scratch, 'postgres')
      let postgres = await startPostgres(folder, bench)
      const cwd = join(bench.scratch, 'services')
      mkdirSync(cwd)
      const env = choose(environments(ctx, postgres.url), cwd)
      await importUsers({ count: options.users, hash: 'light', cwd, env: env.issuer }, bench)
      const sessionsUrl = env.issuer.GATEPASS_SESSIONS_URL
      const failOver = async () => {
        if (sessionsUrl !== postgres.url) return null
        // SIGQUIT: Postgres recovers as after a crash.
        await postgres.stop('SIGQUIT')
        postgres = await startPostgres(folder, bench, { port: Number(new URL(postgres.url).port) })
        return 'Postgres crashed and started again'
      }
      const startRole = (role: 'issuer' | 'verifier', own: Environment) => () =>
        startService(role, { cwd, env: own }, bench)
      return {
        scheme: gatepassScheme(ctx.url),
        balance: 'by token',
        ...(!sessionsUrl.startsWith('redis') && { failOver }),
        start: {
          issuer: startRole('issuer', env.issuer),
          ...(env.verifier && { verifier: startRole('verifier', env.verifier) }),
          shop: (replica) =>
            startServer('examples/shop/main', [], bench, { ...env.shop, SHOP_NAME: replica }),
        },
        async rotateKeys() {
          const args = ['keys', 'rotate', '--json']
          const output = await runCommand(args, { cwd, env: env.issuer }, bench)
          const [key] = JSON.parse(output) as [{ kid: string; activates_at: string }]
          return `${key.kid.slice(0, 8)}… is published and signs from ${key.activates_at.slice(11, 23)}`
        },
      }
    },
  }
}

function environments({ url, innerUrl, redisUrl, options }: SystemContext, postgresUrl: string) {
  const common = {
    GATEPASS_ISSUER: url,
    GATEPASS_AUDIENCE: url,
    GATEPASS_ACCESS_TTL_S: String(options.accessTtl_s),
    GATEPASS_DATA_URL: redisUrl(1),
    GATEPASS_DATA_REPLICAS: '1',
  }
  const reader = { ...common, GATEPASS_JWKS_URL: `${innerUrl}/.well-known/jwks.json` }
  return {
    issuer: {
      ...common,
      ...shortKeys,
      ...hashSettings('light'),
      GATEPASS_SECRET: newSecret(),
      GATEPASS_KEYS_SECRET: newSecret(),
      GATEPASS_ACCOUNTS_URL: postgresUrl,
      GATEPASS_KEYS_URL: postgresUrl,
      GATEPASS_SESSIONS_URL: redisUrl(0),
      GATEPASS_SESSIONS_REPLICAS: '1',
      GATEPASS_TRUSTED_PROXIES: '127.0.0.1',
    },
    verifier: { ...reader, GATEPASS_DATA_URL: 'off' },
    shop: { ...reader, GATEPASS_DATA_SECRET: newSecret(), SHOP_PORT: '0' },
  } satisfies Record<string, Environment>
}

/**
 * As @gatepass/browser works: an access token in memory, the refresh token as a cookie, and an idempotency
 * key with each refresh. A browser also keeps the cookie by which the issuer recognizes a device.
 */
function gatepassScheme(origin: string): ClientScheme {
  const headersOf = ({ secret }: Session) => ({ origin, cookie: secret })
  const devices = new Map<string, string>()
  return {
    async login(ask, username) {
      const headers = { origin, cookie: devices.get(username) ?? '' }
      const answer = await ask(post('/login', headers, { username, password }))
      const device = cookieOf(answer, '__Host-gatepass-device')
      if (device !== undefined) devices.set(username, device)
      return sessionOf(answer, '')
    },
    async refresh(ask, session, key) {
      const headers = { ...headersOf(session), 'idempotency-key': key }
      return sessionOf(await ask(post('/refresh', headers)), session.secret)
    },
    logout: (ask, session) => ask(post('/logout', headersOf(session))),
    signOutEverywhere: (ask, { headers }) => ask(post('/logout/all', headers)),
  }
}

/** @param cookie the cookie of the browser, if the response sets none */
function sessionOf(answer: Answer, cookie: string): Session | Answer {
  return tokenSession(answer, cookieOf(answer, '__Host-gatepass') ?? cookie)
}

function cookieOf(answer: Answer, name: string): string | undefined {
  return cookiesOf(answer).find((one) => one.startsWith(`${name}=`))
}
