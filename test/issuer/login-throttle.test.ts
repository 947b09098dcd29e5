import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t, { type Test } from 'tap'
import { GatepassError, isGatepassError } from '../../src/core/errors.ts'
import {
  type Admission,
  DeviceTokens,
  type LoginAttempt,
  LoginBackoff,
  LoginThrottle,
  limitRules,
} from '../../src/issuer/login-throttle.ts'
import { SqliteCounterStore } from '../../src/stores/sqlite/counter-store.ts'
import { RefreshTokenCodec } from '../../src/tokens/refresh-token.ts'
import { stopTime } from '../stores/counter-store-contract.ts'
import fc from '../support/properties.ts'
import { createTestFolder } from '../support/test-folder.ts'

const secrets = [Buffer.from('a test secret of at least 32 characters')] as const
const day_s = 86_400

function start(t: Test) {
  const wait = stopTime(t)
  const path = join(createTestFolder(t), 'counters.db')
  const replica = () => {
    const store = new SqliteCounterStore(path)
    t.teardown(() => store.close())
    return new LoginThrottle(store, secrets)
  }
  return { wait, replica, path, throttle: replica() }
}

const stranger: LoginAttempt = { name: 'ada', address: '203.0.113.7', deviceToken: undefined }
const elsewhere = { ...stranger, address: '198.51.100.1' }

/** Fails once. */
function begin(throttle: LoginThrottle, who: LoginAttempt) {
  return throttle.run(
    who,
    async () => null,
    () => false,
  )
}

/** Signs in. */
function succeed(throttle: LoginThrottle, who: LoginAttempt) {
  return throttle.run(
    who,
    async () => null,
    () => true,
  )
}

/** Fails once: 0, or the seconds that the attempt would have to wait. */
async function fail(throttle: LoginThrottle, who: LoginAttempt = stranger): Promise<number> {
  try {
    await begin(throttle, who)
    return 0
  } catch (error) {
    if (isGatepassError(error, 'too_many_attempts')) return error.retryAfterSeconds ?? Number.NaN
    throw error
  }
}

/** Guesses for so long as fast as is allowed; returns how many guesses there were. */
async function guess(
  throttle: LoginThrottle,
  wait: (seconds: number) => void,
  duration_s: number,
  next: () => LoginAttempt,
): Promise<number> {
  let [guesses, now_s] = [0, 0]
  for (;;) {
    const pause_s = await fail(throttle, next())
    if (pause_s === 0) guesses += 1
    now_s += pause_s
    if (now_s > duration_s) return guesses
    wait(pause_s)
  }
}

t.test('an attacker has 40 guesses a day at an account, and its owner does not wait', async (t) => {
  const { throttle, wait } = start(t)
  t.equal(await guess(throttle, wait, day_s - 1, () => stranger), 40)
  t.equal(await fail(throttle, elsewhere), 0)
})

t.test('an attempt counts nowhere if a counter of it fails', async (t) => {
  stopTime(t)
  const store = new SqliteCounterStore(':memory:')
  t.teardown(() => store.close())
  let failures = 20
  const outage = new GatepassError('store_unavailable')
  const throttle = new LoginThrottle(
    {
      close: () => store.close(),
      counter(options) {
        const counter = store.counter(options)
        if (options.name !== 'login.network.free') return counter
        const add = (key: string) => (failures-- > 0 ? Promise.reject(outage) : counter.add(key))
        return { ...counter, add }
      },
    },
    secrets,
  )
  while (failures > 0) await t.rejects(begin(throttle, stranger), { code: 'store_unavailable' })
  for (let free = limitRules.account_in_network.free; free > 0; free -= 1) {
    t.equal(await fail(throttle), 0)
  }
})

t.test('an attacker who knows the limits has 142 guesses in 24 hours', async (t) => {
  const { throttle, wait } = start(t)
  for (let round = 0; round < 6; round += 1) await fail(throttle)
  // A day after the first pause its level is forgotten. Until then the pauses double from two seconds.
  wait(day_s - 1023)
  let guesses = await guess(throttle, wait, 1022, () => stranger)
  wait(1)
  for (let hour = 0; hour < 23; hour += 1) {
    for (let round = 0; round < 5; round += 1) guesses += Number((await fail(throttle)) === 0)
    wait(3600)
  }
  guesses += await guess(throttle, wait, 2576, () => stranger)
  t.equal(guesses, 142)
})

t.test('attackers from many networks have 1,550 guesses in 24 hours together', async (t) => {
  const { throttle, wait } = start(t)
  let addresses = 0
  const next = () => {
    addresses += 1
    return { ...stranger, address: `10.${addresses >> 8}.${addresses & 0xff}.1` }
  }
  // The day begins in the last minute of a window, and has the free attempts of the next one too.
  await fail(throttle, next())
  wait(3540)
  let guesses = 0
  while (guesses < limitRules.account.free - 1)
    guesses += Number((await fail(throttle, next())) === 0)
  wait(60)
  guesses += await guess(throttle, wait, day_s - 61, next)
  t.ok(guesses > 1500 && guesses <= 1550, `${guesses}`)
  t.ok((await fail(throttle, elsewhere)) <= 60, 'the owner with a new device waits a minute')
})

t.test('a login on a new device gives strangers no free guesses at its account', async (t) => {
  const { throttle, wait } = start(t)
  const guessFrom = (network: number) =>
    fail(throttle, { ...stranger, address: `10.0.${network}.1` })
  for (let network = 0; network <= limitRules.account.free; network += 1) await guessFrom(network)
  wait(1)
  await succeed(throttle, elsewhere)
  t.equal(await guessFrom(100), 0)
  t.equal(await guessFrom(101), 2)
})

t.test('a known device has a limit of its own', async (t) => {
  const { throttle } = start(t)
  for (let round = 0; round < 200; round += 1) {
    await fail(throttle, { ...stranger, address: `10.0.${round}.1` })
  }
  const owner = { ...elsewhere, deviceToken: throttle.devices.remember(undefined, 'ada') }
  t.ok((await fail(throttle, elsewhere)) > 0)
  await succeed(throttle, owner)
  t.ok((await fail(throttle, elsewhere)) > 0, 'its good login is no help to strangers')

  const forged = { ...elsewhere, deviceToken: `${owner.deviceToken.slice(0, -1)}!` }
  t.ok((await fail(throttle, forged)) > 0)
  const ofAnother = throttle.devices.remember(undefined, 'eve')
  t.ok((await fail(throttle, { ...elsewhere, deviceToken: ofAnother })) > 0)

  for (let round = 0; round < 6; round += 1) t.equal(await fail(throttle, owner), 0)
  t.equal(await fail(throttle, owner), 1, 'a thief of the device does not guess for long')
})

t.test('known devices have one limit together', async (t) => {
  const { throttle, wait } = start(t)
  // A thief has made each of them known by a login, before the password was replaced.
  const known = () => ({ ...stranger, deviceToken: throttle.devices.remember(undefined, 'ada') })
  let guesses = 0
  for (let round = 0; round < 200; round += 1)
    guesses += Number((await fail(throttle, known())) === 0)
  t.equal(guesses, limitRules.known_devices.free + 1)
  t.equal(await fail(throttle, known()), 1)
  t.equal(await fail(throttle, elsewhere), 0, 'an unknown device has other limits')
  wait(1)
  await succeed(throttle, known())
  t.equal(await fail(throttle, known()), 0)
  t.equal(await fail(throttle, known()), 2, 'a login gives the thief no free guesses')
})

t.test('one password on many accounts exhausts the limit of the network', async (t) => {
  const { throttle, wait } = start(t)
  const spray = async (count: number, addressOf: (index: number) => string) => {
    const pauses = []
    for (let index = 0; index < count; index += 1) {
      const name = `user-${index}-of-${count}`
      pauses.push(await fail(throttle, { ...stranger, name, address: addressOf(index) }))
    }
    return pauses.filter((pause) => pause === 0).length
  }
  t.equal(await spray(300, () => stranger.address), 101)
  t.equal(await spray(300, () => '2001:db8::1'), 101)
  t.equal(await spray(10, (index) => `2001:db8::${index + 2}`), 0, 'a /56 is one customer')
  const everywhere = (index: number) => `192.0.2.${index % 256}`
  t.equal(await spray(1500, everywhere), 1001)
  t.equal(await fail(throttle, { ...elsewhere, name: 'bob' }), 0)
  wait(600)
  t.equal(await spray(300, () => stranger.address), 101)
})

t.test('a login does not clear failures at other accounts', async (t) => {
  const { throttle } = start(t)
  const ownAccount = { ...stranger, name: 'mallory' }
  let guesses = 0
  for (let round = 0; round < 300; round += 1) {
    await succeed(throttle, ownAccount).catch(() => null)
    guesses += Number((await fail(throttle, { ...stranger, name: `user-${round}` })) === 0)
  }
  t.equal(guesses, 101)
})

t.test("a login clears its user's failures", async (t) => {
  const { throttle } = start(t)
  for (let round = 0; round < 4; round += 1) await fail(throttle)
  await succeed(throttle, stranger)
  for (let round = 0; round < 6; round += 1) t.equal(await fail(throttle), 0)
  t.equal(await fail(throttle), 1)
})

t.test('an abandoned attempt does not count', async (t) => {
  const { throttle } = start(t)
  const overload = new GatepassError('overloaded')
  const abandon = () =>
    throttle.run(
      stranger,
      () => Promise.reject(overload),
      () => false,
    )
  for (let round = 0; round < 200; round += 1) await t.rejects(abandon(), overload)
  t.equal(await fail(throttle), 0)
})

t.test('a refused attempt does not count for other limits', async (t) => {
  const { throttle, path } = start(t)
  for (let round = 0; round < 6; round += 1) await fail(throttle)
  const db = new DatabaseSync(path)
  t.teardown(() => db.close())
  const state = () => db.prepare('SELECT * FROM counters ORDER BY key').all()
  const before = state()
  for (let round = 0; round < 3; round += 1) {
    await Promise.all(Array.from({ length: 150 }, () => fail(throttle)))
  }
  t.same(state(), before)
})

t.test('an attempt that one limit refuses at the last moment counts for no other', async (t) => {
  const { throttle, path } = start(t)
  // All of them find the limit of their network free, and most of them exceed it.
  const names = Array.from({ length: 300 }, (_, index) => `user-${index}`)
  const pauses = await Promise.all(names.map((name) => fail(throttle, { ...stranger, name })))
  const admitted = pauses.filter((pause) => pause === 0).length
  t.equal(admitted, 101)
  const db = new DatabaseSync(path)
  t.teardown(() => db.close())
  const sum = db.prepare('SELECT sum(points) AS points FROM counters WHERE key LIKE ?')
  t.same(sum.get('login.account.free:%'), { points: admitted })
})

t.test('many right passwords at once exhaust no limit', async (t) => {
  const { throttle } = start(t)
  const logins = Array.from({ length: 20 }, () => succeed(throttle, stranger))
  await t.resolves(Promise.all(logins))
})

t.test('replicas count together, also concurrent attempts', async (t) => {
  const { replica } = start(t)
  const replicas = Array.from({ length: 20 }, replica)
  const attempts = Array.from({ length: 5 }, () => replicas.map((one) => fail(one)))
  const pauses = await Promise.all(attempts.flat())
  t.equal(pauses.filter((pause) => pause === 0).length, limitRules.account_in_network.free + 1)
})

t.test('an admitted attempt names the exhausted limits', async (t) => {
  const { throttle } = start(t)
  const exhausted = []
  for (let round = 0; round < 6; round += 1) {
    const attempt = await begin(throttle, stranger)
    exhausted.push(attempt.exhausted.map(({ limit, network }) => ({ limit, network })))
  }
  const one = { limit: 'account_in_network', network: '203.0.113.7/32' }
  t.strictSame(exhausted, [[], [], [], [], [one], [one]])
})

t.test('the store contains no names and no addresses', async (t) => {
  const { throttle, path } = start(t)
  const deviceToken = throttle.devices.remember(undefined, 'ada-lovelace')
  for (let round = 0; round < 6; round += 1) {
    await fail(throttle, { ...stranger, name: 'ada-lovelace' })
    await fail(throttle, { ...stranger, name: 'ada-lovelace', deviceToken })
  }
  const db = new DatabaseSync(path)
  t.teardown(() => db.close())
  for (const { key } of db.prepare('SELECT key FROM counters').all()) {
    t.match(
      key,
      /^login\.(device|known_devices|account|account_in_network|network|wide_network)\.(free|level|pause):[\w-]{43}$/,
    )
  }
})

const rules = { free: 3, freeWindowSeconds: 100, maxPauseSeconds: 8, memorySeconds: 1000 }

/** One limit, with attempts at it. */
function startBackoff(t: Test) {
  const wait = stopTime(t)
  const store = new SqliteCounterStore(':memory:')
  t.teardown(() => store.close())
  const backoff = new LoginBackoff(store, 'test', rules)
  /** One attempt: let through, or the seconds it has to wait. */
  const attempt = async (key = 'a'): Promise<Admission | number> => {
    const { waitMs, level } = await backoff.read(key)
    if (waitMs > 0) return waitMs / 1000
    const taken = await backoff.admit(key, level)
    return typeof taken === 'number' ? taken / 1000 : taken
  }
  return { attempt, wait }
}

function isAdmitted(attempt: Admission | number): attempt is Admission {
  return typeof attempt !== 'number'
}

/** An attempt that must be let through. */
async function taken(attempt: Promise<Admission | number>): Promise<Admission> {
  const one = await attempt
  if (!isAdmitted(one)) throw new Error(`it has to wait ${one} s`)
  return one
}

t.test('after the free attempts pauses double up to the maximum', async (t) => {
  const { attempt, wait } = startBackoff(t)
  for (let free = 1; free <= 3; free += 1) t.match(await attempt(), { isLast: free === 3 })
  const pauses: number[] = []
  for (let round = 0; round < 6; round += 1) {
    t.match(await attempt(), { isLast: true })
    const pause = await attempt()
    t.equal(await attempt(), pause, 'asking again makes it no longer')
    pauses.push(Number(pause))
    wait(Number(pause))
  }
  t.strictSame(pauses, [1, 2, 4, 8, 8, 8])
})

t.test('keys are independent', async (t) => {
  const { attempt } = startBackoff(t)
  for (let round = 0; round < 4; round += 1) await attempt('a')
  t.equal(await attempt('a'), 1)
  t.ok(isAdmitted(await attempt('b')))
})

t.test('free attempts return with the next window, levels last longer', async (t) => {
  const { attempt, wait } = startBackoff(t)
  for (let round = 0; round < 3; round += 1) await attempt('free')
  for (let round = 0; round < 4; round += 1) await attempt('slow')
  wait(100)
  for (let round = 0; round < 3; round += 1) t.ok(isAdmitted(await attempt('free')))
  t.ok(isAdmitted(await attempt('slow')))
  t.equal(await attempt('slow'), 2)
  wait(900)
  for (let round = 0; round < 4; round += 1) t.ok(isAdmitted(await attempt('slow')))
  t.equal(await attempt('slow'), 1)
})

t.test('an attempt that is taken back does not count', async (t) => {
  const { attempt, wait } = startBackoff(t)
  for (let round = 0; round < 20; round += 1) await (await taken(attempt())).takeBack()
  for (let round = 0; round < 3; round += 1) await attempt()
  for (let round = 0; round < 20; round += 1) await (await taken(attempt())).takeBack()
  t.ok(isAdmitted(await attempt()))
  wait(1)
  t.ok(isAdmitted(await attempt()))
  t.equal(await attempt(), 2, 'the pause has not grown by what was given back')
})

t.test('a forgiven attempt clears the earlier failures', async (t) => {
  const { attempt, wait } = startBackoff(t)
  for (let round = 0; round < 4; round += 1) await attempt()
  wait(1)
  await (await taken(attempt())).forgive()
  for (let round = 0; round < 4; round += 1) t.ok(isAdmitted(await attempt()))
  t.equal(await attempt(), 1)
})

t.test('concurrent attempts are admitted no more often than sequential ones', async (t) => {
  const { attempt, wait } = startBackoff(t)
  const storm = async () => {
    const attempts = await Promise.all(Array.from({ length: 100 }, () => attempt()))
    return attempts.filter(isAdmitted).length
  }
  t.equal(await storm(), 4)
  t.equal(await storm(), 0)
  wait(1)
  t.equal(await storm(), 1)
})

const [oldSecret, newSecret] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]
const devices = new DeviceTokens([newSecret])

t.test('a device is recognized only for names that signed in on it', async (t) => {
  const token = devices.remember(undefined, 'ada')
  t.match(token, /^gpd_[\w-]{22}\.[\w-]{43}$/)
  t.match(devices.knownId(token, 'ada'), /^[\w-]{22}$/)
  t.equal(devices.knownId(token, 'eve'), null)
  t.equal(devices.knownId(undefined, 'ada'), null)
  t.not(devices.knownId(devices.remember(undefined, 'ada'), 'ada'), devices.knownId(token, 'ada'))
})

t.test('a device is recognized for the last four names', async (t) => {
  const names = ['ada', 'bob', 'cleo', 'dan', 'eve']
  let token: string | undefined
  for (const name of names) token = devices.remember(token, name)
  const ids = names.map((name) => devices.knownId(token, name))
  t.equal(ids[0], null)
  t.match(ids[1], /^[\w-]{22}$/)
  t.same(ids.slice(1), Array(4).fill(ids[1]))
  const again = devices.remember(token, 'bob')
  t.equal(again.length, token?.length, 'nobody is in it twice')
  t.equal(devices.knownId(again, 'cleo'), ids[1])
})

t.test('a rotation of secrets keeps devices recognized', async (t) => {
  const token = new DeviceTokens([oldSecret]).remember(undefined, 'ada')
  const both = new DeviceTokens([newSecret, oldSecret])
  const id = both.knownId(token, 'ada')
  t.ok(id)
  t.equal(devices.knownId(token, 'ada'), null)
  t.equal(devices.knownId(both.remember(token, 'ada'), 'ada'), id)
})

t.test('the MAC of a device token is not valid for a refresh token', async (t) => {
  const refreshTokens = new RefreshTokenCodec([newSecret])
  const token = devices.remember(undefined, '.0')
  const asRefreshToken = token.replace('gpd_', 'gpr_').replace('.', '.0.')
  t.throws(() => refreshTokens.parse(asRefreshToken), { code: 'refresh_token_malformed' })
})

t.test('the MAC of a name is not valid for the end of the name', async (t) => {
  const [id, mac] = devices.remember(undefined, 'nada').split('.')
  t.equal(devices.knownId(`${id}n.${mac}`, 'ada'), null)
})

t.test('an invalid part of a token is not copied into the next token', async (t) => {
  const long = `${devices.remember(undefined, 'ada')}${' '.repeat(100)}`
  const next = devices.remember(long, 'bob')
  t.equal(next.length, 70)
  t.ok(devices.knownId(next, 'bob'))
})

t.test('a forged token recognizes no device', async (t) => {
  const token = devices.remember(undefined, 'ada')
  const changed = fc
    .tuple(fc.nat(token.length - 1), fc.constantFrom(...'AZaz09-_. '))
    .map(([at, character]) => token.slice(0, at) + character + token.slice(at + 1))
  const cut = fc.nat(token.length - 1).map((length) => token.slice(0, length))
  const longer = fc.string({ minLength: 1, maxLength: 400 }).map((text) => token + text)
  fc.assert(
    fc.property(fc.oneof(changed, cut, fc.string()), (forged) => {
      t.ok(forged === token || devices.knownId(forged, 'ada') === null, forged)
    }),
  )
  fc.assert(fc.property(longer, (text) => devices.remember(text, 'ada').length <= 202))
})
