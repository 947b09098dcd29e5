import { DatabaseSync } from 'node:sqlite'
import t, { type Test } from 'tap'
import {
  type Deriver,
  HashProcessPool,
  PasswordHasher,
} from '../../src/issuer/passwords/password-hasher.ts'
import { stopTime } from '../stores/counter-store-contract.ts'
import { cheapHashing } from '../support/hashing.ts'
import {
  password,
  startIssuer,
  type TestIssuer,
  type TestIssuerOptions,
} from '../support/issuer.ts'

/** The address of the one who guesses, and that of the owner. */
const [here, elsewhere] = ['203.0.113.7', '198.51.100.1']
const deviceName = '__Host-gatepass-device'

/** An issuer whose hashes are counted, and a clock for its limits. */
async function start(t: Test, options: TestIssuerOptions = {}) {
  const inner = new HashProcessPool()
  let hashes = 0
  const deriver: Deriver = {
    derive(jobs) {
      hashes += jobs.length
      return inner.derive(jobs)
    },
    close: () => inner.close(),
  }
  const hasher = new PasswordHasher(
    { ...cheapHashing, maxQueued: 1000, maxWaitMs: 60_000 },
    deriver,
  )
  const issuer = await startIssuer(t, { hasher, ...options })
  return { issuer, hashes: () => hashes, wait: stopTime(t) }
}

interface From {
  readonly address?: string
  readonly device?: string
  readonly headers?: Record<string, string>
}

async function login(issuer: TestIssuer, body: Record<string, unknown>, from: From = {}) {
  const { address = here, device, headers = {} } = from
  const response = await issuer.call({
    method: 'POST',
    url: '/login',
    remoteAddress: address,
    headers,
    body: { username: 'ada', password, ...body },
    ...(device !== undefined && { cookies: { [deviceName]: device } }),
  })
  const cookies = response.cookies as unknown as { name: string; value: string }[]
  const retryAfter = response.headers['retry-after']
  return {
    status: response.statusCode,
    retryAfterSeconds: retryAfter === undefined ? null : Number(retryAfter),
    problem: response.statusCode === 200 ? null : response.json(),
    headers: response.headers,
    cookie: cookies.find(({ name }) => name === deviceName) as Record<string, unknown> | undefined,
    device: cookies.find(({ name }) => name === deviceName)?.value,
  }
}

function guess(issuer: TestIssuer, from: From = {}, username = 'ada') {
  return login(issuer, { username, password: 'wrong password' }, from)
}

async function hammer(issuer: TestIssuer, times = 10) {
  for (let round = 0; round < times; round += 1) await guess(issuer)
}

t.test('I5: each guess waits longer than the last, and waiting costs no hash', async (t) => {
  const { issuer, hashes, wait } = await start(t)
  const before = hashes()
  const answers: [status: number, retryAfterSeconds: number | null][] = []
  for (let round = 0; round < 12; round += 1) {
    const { status, retryAfterSeconds } = await guess(issuer)
    answers.push([status, retryAfterSeconds])
    if (retryAfterSeconds !== null) wait(retryAfterSeconds)
  }
  t.strictSame(
    answers.map(([status]) => status),
    [401, 401, 401, 401, 401, 401, 429, 401, 429, 401, 429, 401],
  )
  t.strictSame(
    answers.flatMap(([, seconds]) => seconds ?? []),
    [1, 2, 4],
  )
  t.equal(hashes() - before, 9)
  const { problem, headers } = await guess(issuer)
  t.match(problem, { status: 429, code: 'too_many_attempts' })
  t.match(headers, { 'content-type': 'application/problem+json', 'cache-control': 'no-store' })
})

t.test('I4: unknown names get the same response', async (t) => {
  const { issuer, wait } = await start(t)
  const course = async (username: string) => {
    const answers = []
    for (let round = 0; round < 9; round += 1) {
      const { status, retryAfterSeconds, problem, headers } = await guess(issuer, {}, username)
      const names = Object.keys(headers).sort()
      answers.push({ status, retryAfterSeconds, names, problem: { ...problem, request_id: null } })
      if (round === 7) wait(1)
    }
    return answers
  }
  const known = await course('ada')
  t.equal(known.filter(({ status }) => status === 429).length, 2)
  t.strictSame(await course('nobody'), known)
  t.strictSame(await course('no \u0000 name'), known)
})

t.test('all spellings of a name count as one name', async (t) => {
  const { issuer } = await start(t)
  await hammer(issuer)
  t.match(await guess(issuer, {}, 'ＡＤＡ'), { status: 429 })
})

t.test('I5: the right password waits too, so waiting does not reveal it', async (t) => {
  const { issuer, wait } = await start(t)
  await hammer(issuer)
  t.match(await login(issuer, {}), { status: 429, retryAfterSeconds: 1 })
  wait(1)
  t.match(await login(issuer, {}), { status: 200 })
  for (let round = 0; round < 6; round += 1) t.match(await guess(issuer), { status: 401 })
})

t.test(
  'I5: the owner gets in from elsewhere, and from a device known to the account',
  async (t) => {
    const { issuer } = await start(t)
    const { device, cookie } = await login(issuer, {})
    t.match(cookie, {
      value: /^gpd_/,
      path: '/',
      httpOnly: true,
      secure: true,
      sameSite: 'Strict',
      maxAge: 400 * 86_400,
    })
    await hammer(issuer)
    t.match(await login(issuer, {}), { status: 429 })
    t.match(await login(issuer, {}, { address: elsewhere }), { status: 200 })
    t.match(await login(issuer, {}, { device: device ?? '' }), { status: 200 })
  },
)

t.test('I5: a device cookie is no password and does not help with another account', async (t) => {
  const { issuer } = await start(t)
  await issuer.users.add({ loginName: 'eve', password })
  const { device = '' } = await login(issuer, {})
  t.match(await guess(issuer, { device }), { status: 401 })
  const { device: ofEve = '' } = await login(issuer, { username: 'eve' })
  await hammer(issuer)
  const flipped = `${device.slice(0, -2)}${device.endsWith('AA') ? 'BB' : 'AA'}`
  for (const forged of [ofEve, flipped, 'gpd_', 'x'.repeat(4000)]) {
    t.match(await login(issuer, {}, { device: forged }), { status: 429 })
  }
  const twice = { cookie: `${deviceName}=${device}; ${deviceName}=${device}` }
  t.match(await login(issuer, {}, { headers: twice }), { status: 429 })
})

t.test('a shared browser is recognized for each of its users', async (t) => {
  const { issuer } = await start(t)
  await issuer.users.add({ loginName: 'eve', password })
  const { device: first = '' } = await login(issuer, {})
  const { device: both = '' } = await login(issuer, { username: 'eve' }, { device: first })
  await hammer(issuer)
  t.match(await login(issuer, {}, { device: both }), { status: 200 })
})

t.test('a login with the refresh token in the body sets no cookies', async (t) => {
  const { issuer } = await start(t)
  t.match(await login(issuer, { refresh_token_in: 'body' }), { status: 200, device: undefined })
})

t.test('I5: a hundred concurrent guesses hash no more often than allowed', async (t) => {
  const { issuer, hashes } = await start(t)
  const before = hashes()
  const answers = await Promise.all(Array.from({ length: 100 }, () => guess(issuer)))
  t.equal(hashes() - before, 6)
  t.equal(answers.filter(({ status }) => status === 429).length, 94)
})

t.test('I5: one password on many accounts is limited by address', async (t) => {
  const { issuer, hashes } = await start(t)
  const before = hashes()
  const names = Array.from({ length: 150 }, (_, index) => `user-${index}`)
  const answers = await Promise.all(names.map((name) => guess(issuer, {}, name)))
  t.equal(hashes() - before, 101)
  t.equal(answers.filter(({ status }) => status === 429).length, 49)
  t.match(await login(issuer, {}), { status: 429 })
  t.match(await login(issuer, {}, { address: elsewhere }), { status: 200 })
})

const forwarded = (address: string) => ({ headers: { 'x-forwarded-for': address } })

t.test('X-Forwarded-For of an untrusted client is ignored', async (t) => {
  const { issuer } = await start(t)
  for (let round = 0; round < 6; round += 1) await guess(issuer, forwarded(`10.0.0.${round}`))
  t.match(await guess(issuer, forwarded('10.0.0.9')), { status: 429 })
})

t.test('X-Forwarded-For of a trusted proxy is used', async (t) => {
  const { issuer } = await start(t, { trustedProxies: ['203.0.113.0/24', '::1'] })
  for (let round = 0; round < 6; round += 1) await guess(issuer, forwarded('10.0.0.1'))
  t.match(await guess(issuer, forwarded('10.0.0.1')), { status: 429 })
  t.match(await guess(issuer, forwarded('10.9.9.9, 10.0.0.1')), { status: 429 })
  t.match(await guess(issuer, forwarded('10.0.0.2')), { status: 401 })
})

t.test('without the counter store logins fail and nothing is hashed', async (t) => {
  const { issuer, hashes } = await start(t)
  const db = new DatabaseSync(issuer.sessionsPath)
  t.teardown(() => db.close())
  const { accounts } = issuer
  const find = accounts.findByLoginName.bind(accounts)
  accounts.findByLoginName = (name) => {
    db.exec('DROP TABLE IF EXISTS counters')
    return find(name)
  }
  t.equal((await login(issuer, {})).status, 200, 'the success of an admitted login is not counted')
  const before = hashes()
  const answer = await login(issuer, {})
  t.match(answer, { status: 503, retryAfterSeconds: 1, problem: { code: 'store_unavailable' } })
  t.equal(hashes(), before)
})

t.test('a login that the queue rejects does not count as a failure', async (t) => {
  const hasher = new PasswordHasher({ ...cheapHashing, maxConcurrent: 1, maxQueued: 1 })
  const { issuer } = await start(t, { hasher })
  for (let round = 0; round < 10; round += 1) {
    // From one place they would be looked at in turn.
    const addresses = Array.from({ length: 5 }, (_, n) => `198.51.100.${n}`)
    const answers = await Promise.all(addresses.map((address) => login(issuer, {}, { address })))
    t.equal(answers.filter(({ status }) => status === 503).length, 3)
    t.equal(answers.filter(({ status }) => status === 200).length, 2)
  }
  t.notOk(
    issuer.lines.some(({ code, level }) => code === 'overloaded' && Number(level) > 20),
    'nor does a storm fill the log',
  )
})

t.test('I10: the audit log names the limit, and no user name or token', async (t) => {
  const { issuer } = await start(t)
  const { device = '' } = await login(issuer, {})
  const { sub } = (await issuer.accounts.findByLoginName('ada')) ?? {}
  await hammer(issuer, 200)
  for (let round = 0; round < 6; round += 1) await guess(issuer, {}, 'nobody-of-this-name')
  for (let round = 0; round < 6; round += 1) await guess(issuer, { device })
  const throttled = issuer.audit().filter(({ event }) => event === 'login.throttled')
  const fields = throttled.map(({ sub, reason, network }) => ({ sub, reason, network }))
  const byStranger = { reason: 'account_in_network', network: `${here}/32` }
  t.strictSame(fields, [
    ...Array(2).fill({ sub, ...byStranger }),
    ...Array(2).fill({ sub: undefined, ...byStranger }),
    ...Array(2).fill({ sub, reason: 'device', network: undefined }),
  ])
  const log = JSON.stringify(issuer.lines)
  for (const secret of ['nobody-of-this-name', device.slice(4)]) t.notOk(log.includes(secret))
})

t.test('many concurrent logins with the right password are not limited', async (t) => {
  const issuer = await startIssuer(t)
  const answers = await Promise.all(Array.from({ length: 20 }, () => issuer.login()))
  t.same([...new Set(answers.map(({ statusCode }) => statusCode))], [200])
})
