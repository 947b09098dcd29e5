import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { mock } from 'node:test'
import { createLocalJWKSet, jwtVerify } from 'jose'
import t, { type Test } from 'tap'
import { GatepassError } from '../../src/core/errors.ts'
import { EncryptedKeyStore } from '../../src/keys/encrypted-key-store.ts'
import { type KeyEvent, KeyManager, type KeyManagerOptions } from '../../src/keys/key-manager.ts'
import { FileKeyStore } from '../../src/keys/key-store.ts'
import { signAccessToken } from '../../src/tokens/signing.ts'
import { FakeClock } from '../support/clock.ts'
import { closedWith } from '../support/closed-with.ts'
import { lacksPermissions } from '../support/platform.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { MemoryKeyStore, newRecord, policy, startMs } from './support.ts'

const lead = 1_700
const nextMs = startMs + policy.rotationMs
const secrets = ['a key-encryption secret for the tests'] as const

async function openManager(t: Test, options: Partial<KeyManagerOptions> = {}) {
  const clock = new FakeClock(startMs)
  const store = new MemoryKeyStore()
  const events: KeyEvent[] = []
  const onChange = (event: KeyEvent) => void events.push(event)
  const defaults = { store, secrets, clock, policy, algorithm: 'Ed25519' as const, onChange }
  const manager = closedWith(t, await KeyManager.open({ ...defaults, ...options }))
  return { manager, clock, store, events }
}

const publishedKids = (manager: KeyManager) => manager.publicKeys().map(({ kid }) => kid)
const states = (manager: KeyManager) => manager.list().map(({ state }) => state)

t.test('an empty store gets a key that signs at once and is published', async (t) => {
  const { manager } = await openManager(t)
  const key = manager.signingKey()
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
  const keySet = createLocalJWKSet(JSON.parse(manager.jwks().body))
  const { payload, protectedHeader } = await jwtVerify(token, keySet, {
    currentDate: new Date(startMs),
  })
  t.strictSame(payload, claims)
  t.equal(protectedHeader.kid, key.kid)
  t.strictSame(publishedKids(manager), [key.kid])
  t.equal(manager.lastError, null)
})

t.test(
  'managers that start at the same time on one folder use one key',
  { skip: lacksPermissions },
  async (t) => {
    const folder = createTestFolder(t)
    const open = () => openManager(t, { store: new FileKeyStore(folder) })
    const [a, b] = await Promise.all([open(), open()])
    t.equal(a.manager.signingKey().kid, b.manager.signingKey().kid)
    t.strictSame(await readdir(folder), ['epoch-100-Ed25519.json'])
    t.equal(a.manager.jwks().etag, b.manager.jwks().etag)
    const created = [...a.events, ...b.events].filter(({ name }) => name === 'key.created')
    t.equal(created.length, 1)
  },
)

t.test('a key activates on time, even while the store is unavailable', async (t) => {
  const { manager, clock, store } = await openManager(t)
  const before = manager.signingKey()
  clock.timeMs = nextMs - lead
  await manager.refresh()
  t.strictSame(states(manager), ['active', 'pending'])
  const jwks = manager.jwks()

  store.fault = new GatepassError('store_unavailable')
  clock.timeMs = nextMs - 1
  t.equal(manager.signingKey().kid, before.kid)
  clock.timeMs = nextMs
  t.not(manager.signingKey().kid, before.kid)
  t.strictSame(states(manager), ['retiring', 'active'])
  t.equal(manager.jwks(), jwks, 'the same keys are published')

  clock.timeMs = nextMs + policy.accessTtlMs + policy.clockSkewMs - 1
  t.equal(manager.jwks(), jwks)
  clock.timeMs++
  t.strictSame(publishedKids(manager), [manager.signingKey().kid])
  t.not(manager.jwks().etag, jwks.etag)
})

t.test('the list has the lifecycle of each key and no private key', async (t) => {
  const { manager, clock } = await openManager(t)
  clock.timeMs = nextMs - lead
  await manager.refresh()
  t.match(manager.list(), [
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
  for (const status of manager.list()) t.notHas(status, { privateJwk: Object })
})

t.test('each change causes one event', async (t) => {
  const { manager, clock, events } = await openManager(t)
  const first = manager.signingKey().kid
  clock.timeMs = nextMs - lead
  await manager.refresh()
  const second = manager.list()[1]?.kid
  clock.timeMs = nextMs
  manager.signingKey()
  await manager.refresh()
  clock.timeMs = nextMs + policy.accessTtlMs + policy.clockSkewMs
  manager.jwks()
  await manager.refresh()
  t.strictSame(events, [
    { name: 'key.created', kid: first },
    { name: 'key.activated', kid: first },
    { name: 'key.created', kid: second },
    { name: 'key.activated', kid: second },
    { name: 'key.removed', kid: first },
  ])
})

t.test('a removed key is deleted from the store one token lifetime later', async (t) => {
  const { manager, clock, store } = await openManager(t)
  clock.timeMs = nextMs - lead
  await manager.refresh()
  clock.timeMs = nextMs + 2 * policy.accessTtlMs + policy.clockSkewMs - 1
  await manager.refresh()
  t.equal(store.texts.size, 2)
  clock.timeMs++
  await manager.refresh()
  t.strictSame([...store.texts.keys()], ['epoch-101-Ed25519'])
  await manager.refresh()
  t.strictSame(states(manager), ['active'])
})

t.test('while the store fails the keys stay, and lastError has the error', async (t) => {
  const { manager, store } = await openManager(t)
  const { kid } = manager.signingKey()
  const fault = new GatepassError('store_unavailable')
  store.fault = fault
  await manager.refresh()
  t.equal(manager.lastError, fault)
  t.equal(manager.signingKey().kid, kid)
  await t.rejects(manager.rotate(), { code: 'store_unavailable' })
  store.fault = null
  await manager.refresh()
  t.equal(manager.lastError, null)
})

t.test('a store that lost all its keys gets no new key', async (t) => {
  const { manager, store } = await openManager(t)
  const { kid } = manager.signingKey()
  store.texts.clear()
  await manager.refresh()
  t.match(manager.lastError, { code: 'key_store_invalid' })
  t.equal(manager.signingKey().kid, kid)
  t.equal(store.texts.size, 0)
})

t.test('a manager does not open on an unusable store', async (t) => {
  const store = new MemoryKeyStore()
  store.fault = new GatepassError('store_unavailable')
  await t.rejects(openManager(t, { store }), { code: 'store_unavailable' })

  const record = await newRecord()
  const privateJwk = { ...record.privateJwk, d: 'AAAA' }
  const broken = new MemoryKeyStore()
  await new EncryptedKeyStore(broken, secrets).insertIfAbsent({ ...record, privateJwk })
  await t.rejects(openManager(t, { store: broken }), { code: 'key_store_invalid' })
})

t.test('the key of a manual rotation signs after the lead time', async (t) => {
  const { manager, clock } = await openManager(t)
  const before = manager.signingKey().kid
  clock.timeMs = startMs + 2_000
  const made = await manager.rotate()
  t.match(made, { state: 'pending', activateAtMs: clock.timeMs + lead, alg: 'Ed25519' })
  t.notHas(made, { privateJwk: Object })
  clock.timeMs += lead - 1
  t.equal(manager.signingKey().kid, before)
  clock.timeMs++
  t.equal(manager.signingKey().kid, made.kid)
})

t.test('the lead time counts from the end of the key generation', async (t) => {
  const { manager, clock } = await openManager(t)
  const rotation = manager.rotate()
  clock.timeMs += 5_000
  t.match(await rotation, { createdAtMs: clock.timeMs, activateAtMs: clock.timeMs + lead })
})

t.test('a private key is imported once and kept in a key object only', async (t) => {
  const { manager } = await openManager(t)
  const before = manager.signingKey()
  await manager.refresh()
  t.equal(manager.signingKey().key, before.key)
  t.notHas(before, { privateJwk: Object })
})

t.test('two rotations in one millisecond create one key', async (t) => {
  const { manager } = await openManager(t)
  const [a, b] = await Promise.all([manager.rotate(), manager.rotate()])
  t.equal(a.kid, b.kid)
})

t.test('repeated rotations leave a JWKS that verifiers accept', async (t) => {
  const { manager, clock } = await openManager(t)
  for (let count = 1; count < 24; count += 1) {
    clock.timeMs += 1
    await manager.rotate()
  }
  await t.rejects(manager.rotate(), {
    code: 'config_invalid',
    message: /Wait until a key is removed/,
  })
  t.equal(manager.publicKeys().length, 24)
  clock.timeMs += lead + policy.accessTtlMs + policy.clockSkewMs
  t.match(await manager.rotate(), { state: 'pending' })
})

t.test('another algorithm, set at a restart, takes over after the lead time', async (t) => {
  const { manager: old, store, clock } = await openManager(t)
  await old.close()
  clock.timeMs = startMs + 1_000
  const { manager } = await openManager(t, { store, clock, algorithm: 'ES256' })
  t.equal(manager.signingKey().alg, 'Ed25519')
  clock.timeMs += lead
  t.equal(manager.signingKey().alg, 'ES256')
  t.strictSame(states(manager), ['retiring', 'active'])
})

t.test('an algorithm that is set again signs once its first key is deleted', async (t) => {
  const longPolicy = { ...policy, rotationMs: 1_000_000 }
  const { store, clock } = await openManager(t, { policy: longPolicy })
  const { manager: between } = await openManager(t, {
    store,
    clock,
    policy: longPolicy,
    algorithm: 'ES256',
  })
  clock.timeMs += lead
  t.equal(between.signingKey().alg, 'ES256')
  await between.close()
  const { manager } = await openManager(t, { store, clock, policy: longPolicy })
  clock.timeMs += 2 * policy.accessTtlMs + policy.clockSkewMs
  await manager.refresh()
  await manager.refresh()
  clock.timeMs += lead
  t.equal(manager.signingKey().alg, 'Ed25519')
})

t.test('if the clock is set back, a key still signs', async (t) => {
  const { manager, clock, store } = await openManager(t)
  const first = manager.signingKey().kid
  clock.timeMs = nextMs - lead
  await manager.refresh()
  clock.timeMs = nextMs
  const second = manager.signingKey().kid
  const published = publishedKids(manager)

  clock.timeMs = nextMs - policy.clockSkewMs
  t.equal(manager.signingKey().kid, first)
  t.strictSame(publishedKids(manager), published)
  clock.timeMs = startMs - 10 * policy.rotationMs
  t.equal(manager.signingKey().kid, first)
  t.strictSame(publishedKids(manager), published)
  await manager.refresh()
  t.equal(manager.lastError, null)
  t.ok(store.texts.has('epoch-101-Ed25519'))

  clock.timeMs = nextMs + 1
  await manager.refresh()
  t.equal(manager.signingKey().kid, second)
})

t.test('I11: a replica whose clock is ahead deletes no key that others use', async (t) => {
  const { manager, clock, store } = await openManager(t)
  const { kid } = manager.signingKey()
  const aheadMs = 3 * policy.rotationMs
  const ahead = new FakeClock(clock.timeMs + aheadMs)
  const other = await openManager(t, { store, clock: ahead, expiryClock: clock })
  // Longer than the lead, and than the lifetime of all tokens of the key.
  for (let second = 0; second < 9; second += 1) {
    clock.advance_s(1)
    ahead.advance_s(1)
    await other.manager.refresh()
  }
  t.not(other.manager.signingKey().kid, kid)
  await manager.refresh()
  t.equal(manager.signingKey().kid, kid)
  t.ok(publishedKids(manager).includes(kid))
})

t.test('concurrent refreshes read the store once', async (t) => {
  const { manager, store } = await openManager(t)
  store.lists = 0
  await Promise.all([manager.refresh(), manager.refresh(), manager.refresh()])
  t.equal(store.lists, 1)
  await manager.refresh()
  t.equal(store.lists, 2)
})

t.test('the store is read in the background until the manager is closed', async (t) => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  const { manager, store } = await openManager(t)
  store.lists = 0
  mock.timers.tick(100)
  t.equal(store.lists, 1)
  await manager.close()
  mock.timers.tick(1_000)
  t.equal(store.lists, 1)
})

t.test('keys of every algorithm sign', { skip: lacksPermissions }, async (t) => {
  const folder = join(createTestFolder(t), 'keys')
  await mkdir(folder)
  for (const algorithm of ['ES256', 'RS256', 'PS256', 'ML-DSA-44'] as const) {
    const { manager } = await openManager(t, {
      store: new FileKeyStore(join(folder, algorithm)),
      algorithm,
    })
    const { key } = manager.signingKey()
    t.equal(key.type, 'private')
    t.equal(manager.publicKeys()[0]?.alg, algorithm)
  }
})

t.test(
  'a manager stops signing with a key that another one revoked',
  { skip: lacksPermissions },
  async (t) => {
    const folder = createTestFolder(t)
    const clock = new FakeClock(startMs)
    const open = () => openManager(t, { store: new FileKeyStore(folder), clock })
    const a = await open()
    const b = await open()
    const { kid } = a.manager.signingKey()
    t.equal(b.manager.signingKey().kid, kid)

    clock.timeMs += 2_000
    t.match(await a.manager.revoke(kid), { kid, state: 'revoked', revokedAtMs: clock.timeMs })
    const next = a.manager.signingKey().kid
    t.not(next, kid)
    t.strictSame(publishedKids(a.manager), [next])
    await b.manager.refresh()
    t.equal(b.manager.signingKey().kid, next)
    t.strictSame(publishedKids(b.manager), [next])
    t.equal(a.manager.jwks().etag, b.manager.jwks().etag)
    t.strictSame(states(b.manager), ['revoked', 'active'])

    const revoked = { name: 'key.revoked' as const, kid }
    for (const { events } of [a, b]) {
      t.strictSame(
        events.filter(({ name }) => name === 'key.revoked'),
        [revoked],
      )
    }
  },
)

t.test('a replica that starts later neither signs with nor publishes a revoked key', async (t) => {
  const { manager, store, clock } = await openManager(t)
  const { kid } = manager.signingKey()
  await manager.revoke(kid)
  for (const timeMs of [startMs - 20_000, startMs, startMs + 1_000]) {
    clock.timeMs = timeMs
    const later = await openManager(t, { store, clock })
    t.not(later.manager.signingKey().kid, kid)
    t.notOk(publishedKids(later.manager).includes(kid))
  }
})

t.test('a revocation that the store has lost is recorded again', async (t) => {
  const { manager, store } = await openManager(t)
  const { kid } = manager.signingKey()
  await manager.revoke(kid)
  // A fail-over to a server that lacks the last writes.
  store.texts.delete(`revoked-${kid}`)
  store.texts.delete(`after-${kid}`)
  await manager.refresh()
  t.equal(manager.lastError, null)
  t.not(manager.signingKey().kid, kid)
  t.notOk(publishedKids(manager).includes(kid))
  t.ok(store.texts.has(`revoked-${kid}`))
})

t.test('revoking a key again changes nothing; an unknown key is null', async (t) => {
  const { manager, store, clock } = await openManager(t)
  const { kid } = manager.signingKey()
  const first = await manager.revoke(kid)
  const texts = new Map(store.texts)
  clock.timeMs += 100
  t.strictSame(await manager.revoke(kid), first)
  t.strictSame(store.texts, texts)
  t.equal(await manager.revoke('unknown'), null)
  t.strictSame(store.texts, texts)
})

t.test('a revoked pending key gets an announced successor, and the active key stays', async (t) => {
  const { manager, clock } = await openManager(t)
  const { kid } = manager.signingKey()
  clock.timeMs = nextMs - lead
  await manager.refresh()
  const pending = manager.list()[1]?.kid ?? ''
  await manager.revoke(pending)
  t.equal(manager.signingKey().kid, kid)
  const stateOf = new Map(manager.list().map((key) => [key.kid, key.state]))
  t.equal(stateOf.get(pending), 'revoked')
  const successor = manager.list().find(({ state }) => state === 'pending')
  t.match(successor, { name: 'epoch-101-Ed25519-2', activateAtMs: nextMs })
  clock.timeMs = nextMs
  t.equal(manager.signingKey().kid, successor?.kid)
})

t.test('after every key is revoked, one by one, a new key signs', async (t) => {
  const { manager, clock } = await openManager(t)
  clock.timeMs = nextMs - lead
  await manager.refresh()
  const all = manager.list().map(({ kid }) => kid)
  for (const kid of all) await manager.revoke(kid)
  t.notOk(all.includes(manager.signingKey().kid))
  t.notOk(publishedKids(manager).some((kid) => all.includes(String(kid))))
})

t.test('without a key that signs, the error says when to try again', async (t) => {
  const { manager, clock, store } = await openManager(t)
  const { kid } = manager.signingKey()
  await new EncryptedKeyStore(store, secrets).revoke(kid, clock.nowMs())
  store.insertIfAbsent = () => Promise.reject(new GatepassError('store_unavailable'))
  await manager.refresh()
  t.throws(() => manager.signingKey(), { code: 'keys_unavailable', retryAfterSeconds: 1 })
})

t.test('a revoked key is deleted from the store, and its revocation stays', async (t) => {
  const { manager, clock, store } = await openManager(t)
  const { kid } = manager.signingKey()
  await manager.revoke(kid)
  clock.timeMs += 2 * policy.accessTtlMs + policy.clockSkewMs
  await manager.refresh()
  t.notOk(store.texts.has('epoch-100-Ed25519'))
  t.ok(store.texts.has(`revoked-${kid}`))
  await manager.refresh()
  t.strictSame(states(manager), ['active'])
})

t.test('a revocation that the store does not accept is an error and can be repeated', async (t) => {
  const { manager, store } = await openManager(t)
  const { kid } = manager.signingKey()
  store.fault = new GatepassError('store_unavailable')
  await t.rejects(manager.revoke(kid), { code: 'store_unavailable' })
  t.equal(manager.signingKey().kid, kid)
  store.fault = null
  t.match(await manager.revoke(kid), { state: 'revoked' })
})

t.test('a change whose result cannot be read is an error and can be repeated', async (t) => {
  const { manager, store } = await openManager(t)
  const { kid } = manager.signingKey()
  const insert = MemoryKeyStore.prototype.insertIfAbsent.bind(store)
  const failAfter = (prefix: string) => {
    store.insertIfAbsent = async (key) => {
      const isInserted = await insert(key)
      if (key.name.startsWith(prefix)) store.fault = new GatepassError('store_unavailable')
      return isInserted
    }
  }
  for (const [prefix, change] of [
    ['manual-', () => manager.rotate()],
    ['revoked-', () => manager.revoke(kid)],
  ] as const) {
    failAfter(prefix)
    await t.rejects(change(), { code: 'store_unavailable' })
    store.insertIfAbsent = insert
    store.fault = null
  }
  t.match(await manager.revoke(kid), { kid, state: 'revoked' })
  t.equal(manager.list().filter(({ name }) => name.startsWith('manual-')).length, 1)
})

t.test('refreshNow reads the store again if a read is in progress', async (t) => {
  const { manager, store } = await openManager(t)
  store.lists = 0
  await Promise.all([manager.refresh(), manager.refreshNow()])
  t.equal(store.lists, 2)
})

t.test('keys are encrypted, and a manager with another secret does not start', async (t) => {
  const { manager, store } = await openManager(t)
  t.equal([...store.texts.values()].filter((text) => text.includes('privateJwk')).length, 0)
  const newer = 'another key-encryption secret, newer'
  await t.rejects(openManager(t, { store, secrets: [newer] }), { code: 'key_store_invalid' })
  const { manager: later } = await openManager(t, { store, secrets: [newer, ...secrets] })
  t.equal(later.signingKey().kid, manager.signingKey().kid)
  await openManager(t, { store, secrets: [newer] })
  await manager.refresh()
  t.match(
    manager.lastError,
    { code: 'key_store_invalid' },
    'one without the new secret is not ready',
  )
  t.equal(manager.signingKey().kid, later.signingKey().kid, 'and keeps its keys')
})
