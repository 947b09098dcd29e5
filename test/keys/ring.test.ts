import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { mock } from 'node:test'
import { createLocalJWKSet, jwtVerify } from 'jose'
import t, { type Test } from 'tap'
import { GatepassError } from '../../src/core/errors.ts'
import { FileKeyStore } from '../../src/keys/file-store.ts'
import { KeyRing, type KeyRingOptions } from '../../src/keys/ring.ts'
import { KeyVault } from '../../src/keys/vault.ts'
import type { KeyEvent } from '../../src/keys/view.ts'
import { signAccessToken } from '../../src/tokens/access-token.ts'
import { FakeClock, MemoryKeyStore, newRecord, policy, startMs } from './support.ts'

const lead = 1_700
const nextMs = startMs + policy.rotationMs

async function openRing(t: Test, options: Partial<KeyRingOptions> = {}) {
  const clock = new FakeClock(startMs)
  const store = new MemoryKeyStore()
  const events: KeyEvent[] = []
  const onChange = (event: KeyEvent) => void events.push(event)
  const defaults = { store, clock, policy, algorithm: 'Ed25519' as const, onChange }
  const ring = await KeyRing.open({ ...defaults, ...options })
  t.teardown(() => ring.close())
  return { ring, clock, store, events }
}

const publishedKids = (ring: KeyRing) => ring.publicKeys().map(({ kid }) => kid)
const states = (ring: KeyRing) => ring.list().map(({ state }) => state)

t.test('an empty store gets a key that signs at once and is published', async (t) => {
  const { ring } = await openRing(t)
  const key = ring.signingKey()
  const claims = {
    iss: 'https://auth.example.com',
    sub: 'u',
    aud: 'https://api.example.com',
    client_id: 'web',
    jti: 'j',
    iat: startMs / 1000,
    exp: startMs / 1000 + 300,
  }
  const token = await signAccessToken(claims, key)
  const keySet = createLocalJWKSet(JSON.parse(ring.jwks().body))
  const { payload, protectedHeader } = await jwtVerify(token, keySet, {
    currentDate: new Date(startMs),
  })
  t.strictSame(payload, claims)
  t.equal(protectedHeader.kid, key.kid)
  t.strictSame(publishedKids(ring), [key.kid])
  t.equal(ring.lastError, null)
})

t.test('two rings that start at once on one folder end with the same key', async (t) => {
  const folder = t.testdir()
  const open = () => openRing(t, { store: new FileKeyStore(folder) })
  const [a, b] = await Promise.all([open(), open()])
  t.equal(a.ring.signingKey().kid, b.ring.signingKey().kid)
  t.strictSame(await readdir(folder), ['epoch-100-Ed25519.json'])
  t.equal(a.ring.jwks().etag, b.ring.jwks().etag)
  const created = [...a.events, ...b.events].filter(({ name }) => name === 'key.created')
  t.equal(created.length, 1)
})

t.test('a key takes its turn on the instant, even without the store', async (t) => {
  const { ring, clock, store } = await openRing(t)
  const before = ring.signingKey()
  clock.timeMs = nextMs - lead
  await ring.refresh()
  t.strictSame(states(ring), ['active', 'pending'])
  const jwks = ring.jwks()

  store.fault = new GatepassError('store_unavailable')
  clock.timeMs = nextMs - 1
  t.equal(ring.signingKey().kid, before.kid)
  clock.timeMs = nextMs
  t.not(ring.signingKey().kid, before.kid)
  t.strictSame(states(ring), ['retiring', 'active'])
  t.equal(ring.jwks(), jwks, 'the same keys are published')

  clock.timeMs = nextMs + policy.accessTtlMs + policy.clockSkewMs - 1
  t.equal(ring.jwks(), jwks)
  clock.timeMs++
  t.strictSame(publishedKids(ring), [ring.signingKey().kid])
  t.not(ring.jwks().etag, jwks.etag)
})

t.test('the list says what becomes of each key, and nothing secret', async (t) => {
  const { ring, clock } = await openRing(t)
  clock.timeMs = nextMs - lead
  await ring.refresh()
  t.match(ring.list(), [
    {
      name: 'epoch-100-Ed25519',
      alg: 'Ed25519',
      state: 'active',
      createdAtMs: startMs,
      activateAtMs: startMs,
      removedAtMs: nextMs + policy.accessTtlMs + policy.clockSkewMs,
    },
    { name: 'epoch-101-Ed25519', state: 'pending', activateAtMs: nextMs, removedAtMs: null },
  ])
  for (const status of ring.list()) t.notHas(status, { privateJwk: Object })
})

t.test('each change is told once', async (t) => {
  const { ring, clock, events } = await openRing(t)
  const first = ring.signingKey().kid
  clock.timeMs = nextMs - lead
  await ring.refresh()
  const second = ring.list()[1]?.kid
  clock.timeMs = nextMs
  ring.signingKey()
  await ring.refresh()
  clock.timeMs = nextMs + policy.accessTtlMs + policy.clockSkewMs
  ring.jwks()
  await ring.refresh()
  t.strictSame(events, [
    { name: 'key.created', kid: first },
    { name: 'key.activated', kid: first },
    { name: 'key.created', kid: second },
    { name: 'key.activated', kid: second },
    { name: 'key.removed', kid: first },
  ])
})

t.test('a key is taken out of the store some time after its removal', async (t) => {
  const { ring, clock, store } = await openRing(t)
  clock.timeMs = nextMs - lead
  await ring.refresh()
  clock.timeMs = nextMs + 2 * policy.accessTtlMs + policy.clockSkewMs - 1
  await ring.refresh()
  t.equal(store.texts.size, 2)
  clock.timeMs++
  await ring.refresh()
  t.strictSame([...store.texts.keys()], ['epoch-101-Ed25519'])
  await ring.refresh()
  t.strictSame(states(ring), ['active'])
})

t.test('when the store fails the keys stay, and the error is there to be seen', async (t) => {
  const { ring, store } = await openRing(t)
  const { kid } = ring.signingKey()
  const fault = new GatepassError('store_unavailable')
  store.fault = fault
  await ring.refresh()
  t.equal(ring.lastError, fault)
  t.equal(ring.signingKey().kid, kid)
  await t.rejects(ring.rotate(), { code: 'store_unavailable' })
  store.fault = null
  await ring.refresh()
  t.equal(ring.lastError, null)
})

t.test('a store that lost all its keys is not taken for a new one', async (t) => {
  const { ring, store } = await openRing(t)
  const { kid } = ring.signingKey()
  store.texts.clear()
  await ring.refresh()
  t.match(ring.lastError, { code: 'key_store_invalid' })
  t.equal(ring.signingKey().kid, kid)
  t.equal(store.texts.size, 0)
})

t.test('a ring does not open on a store that it can not use', async (t) => {
  const store = new MemoryKeyStore()
  store.fault = new GatepassError('store_unavailable')
  await t.rejects(openRing(t, { store }), { code: 'store_unavailable' })

  const record = await newRecord()
  const privateJwk = { ...record.privateJwk, d: 'AAAA' }
  const broken = new MemoryKeyStore()
  await new KeyVault(broken, []).insertIfAbsent({ ...record, privateJwk })
  await t.rejects(openRing(t, { store: broken }), { code: 'key_store_invalid' })
})

t.test('a rotation by hand signs after the lead', async (t) => {
  const { ring, clock } = await openRing(t)
  const before = ring.signingKey().kid
  clock.timeMs = startMs + 2_000
  const made = await ring.rotate()
  t.match(made, { state: 'pending', activateAtMs: clock.timeMs + lead, alg: 'Ed25519' })
  t.notHas(made, { privateJwk: Object })
  clock.timeMs += lead - 1
  t.equal(ring.signingKey().kid, before)
  clock.timeMs++
  t.equal(ring.signingKey().kid, made.kid)
})

t.test('two rotations in one millisecond are one', async (t) => {
  const { ring } = await openRing(t)
  const [a, b] = await Promise.all([ring.rotate(), ring.rotate()])
  t.equal(a.kid, b.kid)
})

t.test('another algorithm, set at a restart, takes over after the lead', async (t) => {
  const { ring: old, store, clock } = await openRing(t)
  await old.close()
  clock.timeMs = startMs + 1_000
  const { ring } = await openRing(t, { store, clock, algorithm: 'ES256' })
  t.equal(ring.signingKey().alg, 'Ed25519')
  clock.timeMs += lead
  t.equal(ring.signingKey().alg, 'ES256')
  t.strictSame(states(ring), ['retiring', 'active'])
})

t.test('an algorithm set back returns when its first key is forgotten', async (t) => {
  const longPolicy = { ...policy, rotationMs: 1_000_000 }
  const { store, clock } = await openRing(t, { policy: longPolicy })
  const { ring: between } = await openRing(t, {
    store,
    clock,
    policy: longPolicy,
    algorithm: 'ES256',
  })
  clock.timeMs += lead
  t.equal(between.signingKey().alg, 'ES256')
  await between.close()
  const { ring } = await openRing(t, { store, clock, policy: longPolicy })
  clock.timeMs += 2 * policy.accessTtlMs + policy.clockSkewMs
  await ring.refresh()
  await ring.refresh()
  clock.timeMs += lead
  t.equal(ring.signingKey().alg, 'Ed25519')
})

t.test('a clock set back, by a little or a lot, leaves nobody without a key', async (t) => {
  const { ring, clock, store } = await openRing(t)
  const first = ring.signingKey().kid
  clock.timeMs = nextMs - lead
  await ring.refresh()
  clock.timeMs = nextMs
  const second = ring.signingKey().kid
  const published = publishedKids(ring)

  clock.timeMs = nextMs - policy.clockSkewMs
  t.equal(ring.signingKey().kid, first)
  t.strictSame(publishedKids(ring), published)
  clock.timeMs = startMs - 10 * policy.rotationMs
  t.equal(ring.signingKey().kid, first)
  t.strictSame(publishedKids(ring), published)
  await ring.refresh()
  t.equal(ring.lastError, null)
  t.ok(store.texts.has('epoch-101-Ed25519'))

  clock.timeMs = nextMs + 1
  await ring.refresh()
  t.equal(ring.signingKey().kid, second)
})

t.test('looks at the store that come together are one', async (t) => {
  const { ring, store } = await openRing(t)
  store.lists = 0
  await Promise.all([ring.refresh(), ring.refresh(), ring.refresh()])
  t.equal(store.lists, 1)
  await ring.refresh()
  t.equal(store.lists, 2)
})

t.test('the store is looked at by itself, until the ring is closed', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  const { ring, store } = await openRing(t)
  store.lists = 0
  mock.timers.tick(100)
  t.equal(store.lists, 1)
  await ring.close()
  mock.timers.tick(1_000)
  t.equal(store.lists, 1)
})

t.test('keys of every algorithm sign', async (t) => {
  const folder = join(t.testdir(), 'keys')
  await mkdir(folder)
  for (const algorithm of ['ES256', 'RS256', 'PS256', 'ML-DSA-44'] as const) {
    const { ring } = await openRing(t, {
      store: new FileKeyStore(join(folder, algorithm)),
      algorithm,
    })
    const { key } = ring.signingKey()
    t.equal(key.type, 'private')
    t.equal(ring.publicKeys()[0]?.alg, algorithm)
  }
})

const secrets = ['a key-encryption secret for the tests']

t.test('two rings on one folder: what one revokes the other stops to sign with', async (t) => {
  const folder = t.testdir()
  const clock = new FakeClock(startMs)
  const open = () => openRing(t, { store: new FileKeyStore(folder), clock, secrets })
  const a = await open()
  const b = await open()
  const { kid } = a.ring.signingKey()
  t.equal(b.ring.signingKey().kid, kid)

  clock.timeMs += 2_000
  t.match(await a.ring.revoke(kid), { kid, state: 'revoked', revokedAtMs: clock.timeMs })
  const next = a.ring.signingKey().kid
  t.not(next, kid)
  t.strictSame(publishedKids(a.ring), [next])
  t.equal(b.ring.signingKey().kid, kid, 'it has not looked yet')
  await b.ring.refresh()
  t.equal(b.ring.signingKey().kid, next)
  t.strictSame(publishedKids(b.ring), [next])
  t.equal(a.ring.jwks().etag, b.ring.jwks().etag)
  t.strictSame(states(b.ring), ['revoked', 'active'])

  const revoked = { name: 'key.revoked' as const, kid }
  for (const { events } of [a, b]) {
    t.strictSame(
      events.filter(({ name }) => name === 'key.revoked'),
      [revoked],
    )
  }
})

t.test('a replica that starts later never trusts a revoked key', async (t) => {
  const { ring, store, clock } = await openRing(t, { secrets })
  const { kid } = ring.signingKey()
  await ring.revoke(kid)
  for (const timeMs of [startMs - 20_000, startMs, startMs + 1_000]) {
    clock.timeMs = timeMs
    const later = await openRing(t, { store, clock, secrets })
    t.not(later.ring.signingKey().kid, kid)
    t.notOk(publishedKids(later.ring).includes(kid))
  }
})

t.test('revoking again changes nothing, and an unknown key is said to be none', async (t) => {
  const { ring, store, clock } = await openRing(t)
  const { kid } = ring.signingKey()
  const first = await ring.revoke(kid)
  const texts = new Map(store.texts)
  clock.timeMs += 100
  t.strictSame(await ring.revoke(kid), first)
  t.strictSame(store.texts, texts)
  t.equal(await ring.revoke('unknown'), null)
  t.strictSame(store.texts, texts)
})

t.test(
  'a pending key that is revoked has an announced successor, the active one stays',
  async (t) => {
    const { ring, clock } = await openRing(t)
    const { kid } = ring.signingKey()
    clock.timeMs = nextMs - lead
    await ring.refresh()
    const pending = ring.list()[1]?.kid ?? ''
    await ring.revoke(pending)
    t.equal(ring.signingKey().kid, kid)
    const stateOf = new Map(ring.list().map((key) => [key.kid, key.state]))
    t.equal(stateOf.get(pending), 'revoked')
    const successor = ring.list().find(({ state }) => state === 'pending')
    t.match(successor, { name: 'epoch-101-Ed25519-2', activateAtMs: nextMs })
    clock.timeMs = nextMs
    t.equal(ring.signingKey().kid, successor?.kid)
  },
)

t.test('all keys can be revoked, one by one, and there is always one that signs', async (t) => {
  const { ring, clock } = await openRing(t)
  clock.timeMs = nextMs - lead
  await ring.refresh()
  const all = ring.list().map(({ kid }) => kid)
  for (const kid of all) await ring.revoke(kid)
  t.notOk(all.includes(ring.signingKey().kid))
  t.notOk(publishedKids(ring).some((kid) => all.includes(String(kid))))
})

t.test('a revoked key is taken out of the store, its revocation stays', async (t) => {
  const { ring, clock, store } = await openRing(t)
  const { kid } = ring.signingKey()
  await ring.revoke(kid)
  clock.timeMs += 2 * policy.accessTtlMs + policy.clockSkewMs
  await ring.refresh()
  t.notOk(store.texts.has('epoch-100-Ed25519'))
  t.ok(store.texts.has(`revoked-${kid}`))
  await ring.refresh()
  t.strictSame(states(ring), ['active'])
})

t.test(
  'a revocation that the store does not take is an error, and can be tried again',
  async (t) => {
    const { ring, store } = await openRing(t)
    const { kid } = ring.signingKey()
    store.fault = new GatepassError('store_unavailable')
    await t.rejects(ring.revoke(kid), { code: 'store_unavailable' })
    t.equal(ring.signingKey().kid, kid)
    store.fault = null
    t.match(await ring.revoke(kid), { state: 'revoked' })
  },
)

t.test('looking anew does not settle for a look that has begun before', async (t) => {
  const { ring, store } = await openRing(t)
  store.lists = 0
  await Promise.all([ring.refresh(), ring.refreshAnew()])
  t.equal(store.lists, 2)
})

t.test('keys are encrypted with a secret, and one without it does not start', async (t) => {
  const { ring, store } = await openRing(t, { secrets })
  t.equal([...store.texts.values()].filter((text) => text.includes('privateJwk')).length, 0)
  await t.rejects(openRing(t, { store }), { code: 'key_store_invalid' })
  const other = ['another key-encryption secret, newer', ...secrets]
  const { ring: later } = await openRing(t, { store, secrets: other })
  t.equal(later.signingKey().kid, ring.signingKey().kid)
  await openRing(t, { store, secrets: other.slice(0, 1) })
  await ring.refresh()
  t.match(ring.lastError, { code: 'key_store_invalid' }, 'one that was not told is not ready')
  t.equal(ring.signingKey().kid, later.signingKey().kid, 'and goes on with the keys it has')
})
