import t, { type Test } from 'tap'
import { runCommand } from '../support/commands.ts'
import { startMemcached, urlOf } from '../support/memcached.ts'
import { postJson } from '../support/post-json.ts'
import { run, TestProcess, untilStatus } from '../support/processes.ts'
import { startRedis } from '../support/redis.ts'
import { addUser, serviceEnv, signIn, type Tokens } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { until } from '../support/until.ts'

const common = {
  ...serviceEnv,
  GATEPASS_AUDIENCE: 'https://api.example.com',
  GATEPASS_DATA_SECRET: 'd'.repeat(43),
  // Two dozen processes keep a store waiting.
  GATEPASS_DATA_DEADLINE_MS: '5000',
}

/** The services in one folder. The verifiers do not follow revocations: these tests are about the data. */
async function startServices(t: Test, settings: Record<string, string> = {}) {
  const cwd = createTestFolder(t)
  const env = { ...common, ...settings }
  await addUser({ cwd, env })

  const startIssuer = async (more: Record<string, string> = {}) => {
    const process = TestProcess.start(t, ['issuer'], { cwd, env: { ...env, ...more } })
    const { url: at, adminUrl } = await process.ready()
    return { process, at, metrics: () => text(`${adminUrl}/metrics`) }
  }
  const startVerifier = async (issuer: string) => {
    const process = TestProcess.start(t, ['verifier'], {
      cwd,
      env: {
        ...env,
        GATEPASS_JWKS_URL: `${issuer}/.well-known/jwks.json`,
        GATEPASS_REVOCATIONS: 'off',
      },
    })
    const { url: at, adminUrl } = await process.ready()
    await untilStatus(`${adminUrl}/readyz`, 200)
    return { process, at }
  }
  const command = (...args: string[]) => runCommand(args, { cwd, env })
  return { cwd, env, startIssuer, startVerifier, command }
}

async function text(url: string): Promise<string> {
  return (await fetch(url)).text()
}

const login = (issuer: string) => signIn(issuer, { scope: 'data:read data:write' })

function dataOf({ access_token }: Tokens) {
  const authorization = `Bearer ${access_token}`
  return {
    put: (url: string, value: unknown) =>
      fetch(url, {
        method: 'PUT',
        headers: { authorization, 'content-type': 'application/json' },
        body: JSON.stringify(value),
      }),
    get: (url: string) => fetch(url, { headers: { authorization } }),
    authorization,
  }
}

type Services = Awaited<ReturnType<typeof startServices>>

/** Two people's sessions on two replicas, of which one signs out. */
async function signOutOne(t: Test, { startIssuer, startVerifier }: Services) {
  const issuer = await startIssuer()
  const [one, two] = await Promise.all([startVerifier(issuer.at), startVerifier(issuer.at)])
  const [tokens, others] = await Promise.all([login(issuer.at), login(issuer.at)])
  const [mine, other] = [dataOf(tokens), dataOf(others)]
  const cart = '/data/session/cart'
  t.equal((await mine.put(`${one.at}${cart}`, ['shirt'])).status, 201)
  t.equal((await mine.put(`${two.at}/data/user/theme`, 'dark')).status, 201)
  t.equal((await other.put(`${two.at}${cart}`, ['hat'])).status, 201)
  t.same(await (await mine.get(`${two.at}${cart}`)).json(), ['shirt'])
  const signOut = async () => {
    const { refresh_token } = tokens
    t.equal((await postJson(`${issuer.at}/logout`, { refresh_token })).status, 204)
    const isGone = async () => (await mine.get(`${one.at}${cart}`)).status === 404
    await until('the data has ended', isGone)
    t.equal((await mine.put(`${two.at}${cart}`, 1)).status, 401, 'and is closed')
    t.same(await (await other.get(`${one.at}${cart}`)).json(), ['hat'])
    t.same(await (await other.get(`${one.at}/data/user/theme`)).json(), 'dark')
    t.match(await issuer.metrics(), /operation="end",outcome="ok"/)
  }
  return { issuer, one, two, mine, other, cart, signOut }
}

t.test(
  'every replica reads the data; a sign-out deletes only the data of its session',
  async (t) => {
    const services = await startServices(t)
    const { command, cwd, env } = services
    const { issuer, one, two, other, cart, signOut } = await signOutOne(t, services)
    const without = { cwd, env: { ...env, GATEPASS_DATA_SECRET: 'e'.repeat(43) } }
    const [exported, blind] = await Promise.all([
      command('data', 'export', '--user', 'ADA', '--json'),
      runCommand(['data', 'export', '--user', 'ada'], without),
    ])
    t.equal(exported.code, 0, exported.stderr)
    const rows = (JSON.parse(exported.stdout) as { scope: string; value: unknown }[]).map(
      ({ scope, value }) => `${scope} ${JSON.stringify(value)}`,
    )
    t.same(rows.sort(), ['session ["hat"]', 'session ["shirt"]', 'user "dark"'])
    t.equal(blind.code, 1)
    t.match(blind.stderr, /could not be decrypted and are missing: 3\./)
    await signOut()

    const erased = await command('data', 'erase', '--user', 'ada')
    t.equal(erased.code, 0, erased.stderr)
    t.match(erased.stderr, /of 1 active session\./)
    t.equal((await other.get(`${two.at}/data/user/theme`)).status, 404)
    t.equal((await other.get(`${two.at}${cart}`)).status, 404)
    t.equal((await other.put(`${two.at}${cart}`, 1)).status, 201, 'still signed in')
    const [nobody, migrated] = await Promise.all([
      command('data', 'erase', '--user', 'nobody'),
      command('migrate'),
    ])
    t.equal(nobody.code, 1)
    t.match(migrated.stdout, /^data: up to date/m)

    // From the command line, where no issuer is asked.
    const late = dataOf(await login(issuer.at))
    await late.put(`${one.at}${cart}`, 1)
    t.equal((await command('users', 'disable', 'ada')).code, 0)
    const areGone = async () =>
      (await other.get(`${one.at}${cart}`)).status === 404 &&
      (await late.get(`${one.at}${cart}`)).status === 404
    await until('all of them have ended', areGone)
  },
)

t.test('session data on Memcached', async (t) => {
  const [first, second] = await Promise.all([startMemcached(t), startMemcached(t)])
  const GATEPASS_DATA_URL = urlOf([first.port, second.port])
  const services = await startServices(t, { GATEPASS_DATA_URL })
  const { signOut, other, one, cart } = await signOutOne(t, services)
  await signOut()
  const exported = await services.command('data', 'export', '--user', 'ada', '--json')
  t.equal(exported.code, 0, exported.stderr)
  const values = (JSON.parse(exported.stdout) as { value: unknown }[]).map(({ value }) => value)
  t.same(values, ['dark', ['hat']])
  t.equal((await services.command('data', 'erase', '--user', 'ada')).code, 0)
  t.equal((await other.get(`${one.at}${cart}`)).status, 404)
  t.equal((await other.get(`${one.at}/data/user/theme`)).status, 404)

  await second.kill()
  await first.kill()
  const failed = await services.command('data', 'export', '--user', 'ada')
  t.equal(failed.code, 1)
  t.match(failed.stderr, /store_unavailable/)
})

t.test(
  'data is deleted later if the store is unavailable at sign-out and the issuer dies',
  async (t) => {
    const redis = await startRedis(t)
    const { startIssuer, startVerifier } = await startServices(t, { GATEPASS_DATA_URL: redis.url })
    // A sign-out that waited for the store would take this long.
    const deadlineMs = 10_000
    const issuer = await startIssuer({ GATEPASS_DATA_DEADLINE_MS: String(deadlineMs) })
    const verifier = await startVerifier(issuer.at)
    const cart = `${verifier.at}/data/session/cart`
    const all: Tokens[] = []
    for (let n = 0; n < 3; n++) {
      const tokens = await login(issuer.at)
      t.equal((await dataOf(tokens).put(cart, n)).status, 201)
      all.push(tokens)
    }
    const [first, second] = all as [Tokens, Tokens]
    redis.freeze()
    const startedAtMs = performance.now()
    t.equal(
      (await postJson(`${issuer.at}/logout`, { refresh_token: first.refresh_token })).status,
      204,
    )
    t.ok(performance.now() - startedAtMs < deadlineMs, 'the sign-out does not wait for the store')
    const { authorization } = dataOf(second)
    t.equal((await postJson(`${issuer.at}/logout/all`, {}, { authorization })).status, 204)
    const silent = await dataOf(first).get(cart)
    t.equal(silent.status, 503)
    t.ok(silent.headers.has('retry-after'))
    await issuer.process.stop('SIGKILL')
    redis.thaw()
    const isThere = async () => (await dataOf(first).get(cart)).status === 200
    await until('the store answers, and has it still', isThere)
    await startIssuer()
    for (const tokens of all) {
      const isGone = async () => (await dataOf(tokens).get(cart)).status === 404
      await until('the data has ended', isGone)
      t.equal((await dataOf(tokens).put(cart, 1)).status, 401)
    }
    await verifier.process.stop()
  },
)

t.test('services start while the store of session data is unavailable', async (t) => {
  const { startIssuer, startVerifier } = await startServices(t, {
    GATEPASS_DATA_URL: 'redis://127.0.0.1:1',
    // A service tries to connect for this long, and for at least a second.
    GATEPASS_DATA_DEADLINE_MS: '250',
  })
  const issuer = await startIssuer()
  const verifier = await startVerifier(issuer.at)
  const tokens = await login(issuer.at)
  const { get } = dataOf(tokens)
  t.equal((await get(`${verifier.at}/verify`)).status, 200)
  t.equal((await get(`${verifier.at}/data/session/cart`)).status, 503)
  t.equal(await verifier.process.stop(), 0)
  t.equal(await issuer.process.stop(), 0)
})

t.test('unsafe settings prevent startup', async (t) => {
  const cwd = createTestFolder(t)
  const start = (args: string[], env: Record<string, string> = {}) => run(t, args, { cwd, env })
  const env = { ...common, GATEPASS_DATA_URL: 'redis://redis.example.com' }
  const [verifier, issuer, withoutSecret, off] = await Promise.all([
    start(['verifier'], env),
    start(['issuer'], env),
    start(['verifier'], { GATEPASS_DATA_URL: 'sqlite:data.db' }),
    start(['data', 'erase', '--user', 'ada'], { GATEPASS_DATA_URL: 'off' }),
  ])
  for (const { code, stderr } of [verifier, issuer]) {
    t.equal(code, 2)
    t.match(stderr, /GATEPASS_DATA_URL needs TLS in production/)
  }
  t.equal(withoutSecret.code, 2)
  t.match(withoutSecret.stderr, /GATEPASS_DATA_SECRET is required with GATEPASS_DATA_URL/)
  t.equal(off.code, 2)
  t.match(off.stderr, 'Session data is off.')
})

t.test(
  'I11: an issuer whose clock is ahead does not open the data of ended sessions',
  async (t) => {
    const { url } = await startRedis(t)
    const stores = { GATEPASS_SESSIONS_URL: url, GATEPASS_DATA_URL: url }
    const { startIssuer, startVerifier } = await startServices(t, stores)
    const right = await startIssuer()
    const hourAhead = 'data:text/javascript,const{now}=Date;Date.now=()=>now()+3600000'
    const ahead = await startIssuer({ NODE_OPTIONS: `--import=${hourAhead}` })
    const verifier = await startVerifier(right.at)
    const cart = `${verifier.at}/data/session/cart`
    const tokens = await login(right.at)
    t.equal((await dataOf(tokens).put(cart, ['shirt'])).status, 201)
    const { refresh_token } = tokens
    t.equal((await postJson(`${right.at}/logout`, { refresh_token })).status, 204)
    for (const issuer of [right, ahead]) {
      await until('it has ended the data', async () =>
        /operation="end",outcome="ok"\S* [1-9]/.test(await issuer.metrics()),
      )
    }
    t.equal((await dataOf(tokens).put(cart, ['hat'])).status, 401)
  },
)
