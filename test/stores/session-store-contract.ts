import { deepStrictEqual } from 'node:assert/strict'
import type { Test } from 'tap'
import { digest, randomId } from '../../src/core/secrets.ts'
import {
  followUpMs,
  logStart,
  type RotationOutcome,
  type RotationRequest,
  type Session,
  type SessionStore,
} from '../../src/stores/ports.ts'
import { decideRotation } from '../../src/stores/rotation.ts'
import fc from '../support/properties.ts'
import { policy, rotation, session, t0 } from '../support/sessions.ts'
import { oneTimeContract, oneTimeRemoval } from './one-time-contract.ts'
import { rotationCases } from './rotation-cases.ts'
import { testsWithStore } from './with-store.ts'

/** Differences between stores. */
export interface StoreTraits {
  /** The store removes expired sessions by its own clock; `removeExpired` removes log entries only. */
  readonly expiresByItself?: boolean
  /** Inputs of the property. Default: 120. */
  readonly runs?: number
}

/** Tests the promises of a SessionStore on a real store. `open` returns an empty store. */
export function sessionStoreContract(
  t: Test,
  open: () => Promise<SessionStore>,
  { expiresByItself = false, runs = 120 }: StoreTraits = {},
): void {
  const withStore = testsWithStore(t, open)

  withStore('a session is found as it was created', async (t, store) => {
    const one = session({ sid: randomId(), userAgent: 'Ünïcode/1.0 "quoted"', amr: ['pwd', 'otp'] })
    await store.create(one)
    t.same(await store.find(one.sid, t0), one)
    for (const other of [randomId(), '', 'a\u0000b', "' OR ''='"]) {
      t.equal(await store.find(other, t0), null)
    }
  })

  withStore('an expired or revoked session is not found', async (t, store) => {
    const one = session({ sid: randomId() })
    await store.create(one)
    t.equal(await store.find(one.sid, one.expiresAtMs), null)
    t.equal(await store.revoke(one.sid, t0 + 1, policy.revokedKeptMs), true)
    t.equal(await store.revoke(one.sid, t0 + 2, policy.revokedKeptMs), false)
    t.equal(await store.find(one.sid, t0 + 2), null)
  })

  withStore('returns the time by its own clock, if it has one', async (t, store) => {
    const beforeMs = Date.now()
    const clockMs = (await store.clockMs()) ?? beforeMs
    t.ok(clockMs > beforeMs - 1_000 && clockMs < Date.now() + 1_000, `${clockMs - beforeMs} ms`)
  })

  withStore(
    'dates log entries by its own clock if the clock of the issuer is behind',
    async (t, store) => {
      const { revokedKeptMs: keptMs } = policy
      const behindMs = Date.now() - 3_600_000
      const [ended, reused] = ['ended', 'reused'].map((sub) =>
        session({ sid: randomId(), sub, generation: 3, mintedAtMs: behindMs - 3_600_000 }),
      ) as [Session, Session]
      await Promise.all([store.create(ended), store.create(reused)])
      const startedMs = Math.floor((await store.clockMs()) ?? behindMs)
      await store.revoke(ended.sid, behindMs, keptMs)
      await store.rotate(rotation({ sid: reused.sid, generation: 1, nowMs: behindMs }))
      await store.revokeAll('user-1', behindMs, keptMs)
      await store.appendRevocation('all', '', behindMs, keptMs)
      await store.appendRevocation('key', 'kid', behindMs, keptMs)
      await store.appendRevocation('session', 'sid', behindMs, keptMs)
      const endedMs = Math.ceil((await store.clockMs()) ?? behindMs)
      const kinds = ['session', 'session', 'user', 'all', 'key', 'session']
      const entries = () => store.revocationsAfter(logStart, 10)
      t.match(
        await entries(),
        kinds.map((kind) => ({ kind })),
      )
      for (const { sid } of [ended, reused]) {
        const { outcome } = await store.rotate(rotation({ sid, nowMs: Date.now() }))
        t.equal(outcome, 'revoked', 'the row is kept, too')
      }
      for (const { kind, atMs, expiresAtMs } of await entries()) {
        t.ok(atMs >= startedMs && atMs <= endedMs, `${kind} at ${atMs}`)
        t.equal(expiresAtMs - atMs, keptMs)
      }
      while (await store.removeExpired(startedMs + keptMs + followUpMs - 1, 10));
      t.equal((await entries()).length, kinds.length, 'they are kept as long as others')
      while (await store.removeExpired(endedMs + keptMs + followUpMs, 10));
      t.same(await entries(), [])
    },
  )

  withStore("lists a user's sessions only, newest first", async (t, store) => {
    const mine = [2, 0, 1].map((n) => session({ sid: randomId(), createdAtMs: t0 + n }))
    await Promise.all(mine.map((one) => store.create(one)))
    await store.create(session({ sid: randomId(), sub: 'user-2' }))
    const listed = await store.listBySub('user-1', t0)
    t.same(
      listed.map((one) => one.createdAtMs),
      [t0 + 2, t0 + 1, t0],
    )
  })

  withStore('a new session counts the live sessions of its user', async (t, store) => {
    const create = async (sid: string, sub = 'user-1') => store.create(session({ sid, sub }))
    const [first, second] = [randomId(), randomId()]
    t.equal(await create(first), 1)
    t.equal(await create(second), 2)
    t.equal(await create(randomId(), 'user-2'), 1)
    await store.revoke(first, t0, policy.revokedKeptMs)
    t.equal(await create(randomId()), 2)
    await store.revokeAll('user-1', t0, policy.revokedKeptMs)
    t.equal(await create(randomId()), 1)
  })

  withStore('revokes all sessions of a user', async (t, store) => {
    const mine = Array.from({ length: 3 }, () => session({ sid: randomId() }))
    const other = session({ sid: randomId(), sub: 'user-2' })
    await Promise.all([...mine, other].map((one) => store.create(one)))
    t.equal(await store.revokeAll('user-1', t0, policy.revokedKeptMs), 3)
    t.equal(await store.revokeAll('user-1', t0, policy.revokedKeptMs), 0)
    t.same(await store.listBySub('user-1', t0), [])
    t.same(await store.find(other.sid, t0), other)
  })

  withStore('revokes the sessions created before a time, in batches', async (t, store) => {
    const created = (createdAtMs: number, count: number, changes: Partial<Session> = {}) =>
      Array.from({ length: count }, (_, n) =>
        session({ sid: randomId(), sub: `user-${n % 50}`, createdAtMs, ...changes }),
      )
    const old = created(t0 - 1, 700)
    const others = [...created(t0, 20), ...created(t0 - 1, 20, { expiresAtMs: t0 + 2_000 })]
    const signedOut = created(t0 - 1, 1)
    await inTurn([...old, ...others, ...signedOut], (one) => store.create(one))
    await store.revoke(signedOut[0]?.sid ?? '', t0, policy.revokedKeptMs)
    const nowMs = t0 + 3_000
    const end = async () => {
      const batches: string[][] = []
      for await (const sids of store.endCreatedBefore(t0, nowMs, policy.revokedKeptMs)) {
        batches.push(sids)
      }
      return batches
    }
    const before = await store.revocationsAfter(logStart, 10)
    const [batches] = await Promise.all([
      end(),
      // A concurrent refresh keeps no session.
      inTurn(old, ({ sid }) => store.rotate(rotation({ sid, nowMs }))),
    ])
    t.same(batches.flat().toSorted(), old.map(({ sid }) => sid).toSorted())
    t.ok(batches.length > 1 && batches.every(({ length }) => length > 0 && length <= 500))
    t.same(await store.revocationsAfter(logStart, 10), before, 'the log is left to the caller')
    const outcomes = await inTurn(old, async ({ sid }) => {
      return (await store.rotate(rotation({ sid, nowMs: nowMs + 1 }))).outcome
    })
    t.same([...new Set(outcomes)], ['revoked'])
    for (const one of others) t.same(await store.find(one.sid, t0 + 1_000), one)
    const listed = await store.listBySub('user-0', t0 + 1_000)
    t.equal(listed.length, others.filter(({ sub }) => sub === 'user-0').length)
    t.same(await end(), [], 'there are no more')
    while (await store.removeExpired(nowMs + 1, 1_000));
    const afterCleanup = rotation({ sid: old[0]?.sid ?? '', nowMs: nowMs + 1 })
    t.equal((await store.rotate(afterCleanup)).outcome, 'revoked', 'the row is kept')
  })

  withStore('a session that was never created is unknown', async (t, store) => {
    t.same(await store.rotate(rotation({ sid: randomId() })), { outcome: 'unknown', session: null })
  })

  withStore('50 concurrent requests with one token get one successor', async (t, store) => {
    const one = session({ sid: randomId() })
    await store.create(one)
    const request = rotation({ sid: one.sid, found: one, nowMs: t0 + policy.graceMs })
    const results = await Promise.all(Array.from({ length: 50 }, () => store.rotate(request)))
    t.equal(results.filter(({ outcome }) => outcome === 'rotated').length, 1)
    t.equal(results.filter(({ outcome }) => outcome === 'replayed').length, 49)
    t.same([...new Set(results.map(({ session }) => session?.generation))], [1])
  })

  withStore('decides each case like `decideRotation`', async (t, store) => {
    for (const { title, session: before, request, outcome, after } of rotationCases) {
      const one = { ...before, sid: randomId() }
      await store.create(one)
      const sent = rotation({ ...request, sid: one.sid })
      const result = await store.rotate(sent)
      t.same(result, decideRotation(one, sent), title)
      t.match(result, { outcome, session: after }, title)
    }
  })

  withStore(
    'property: decides every sequence of requests like `decideRotation`',
    async (_t, store) => {
      const graces = fc.constantFrom(policy.graceMs, 0)
      const story = fc.record({
        graceMs: graces,
        isBound: fc.boolean(),
        steps: fc.array(step, { minLength: 1, maxLength: 16 }),
      })
      await fc.assert(
        fc.asyncProperty(story, (story) => follow(store, story)),
        { numRuns: runs },
      )
    },
  )

  withStore(
    'decides a sequence with every kind of step like `decideRotation`',
    async (t, store) => {
      const [mine, other, third] = ['mine', 'other', 'third'].map(digest) as [
        Buffer,
        Buffer,
        Buffer,
      ]
      let expected = session({ sid: randomId() })
      await store.create(expected)
      const { graceMs } = policy
      let nowMs = t0
      const sent: [waitMs: number, ahead: number, key: Buffer | null, outcome: RotationOutcome][] =
        [
          [graceMs - 1, 0, mine, 'replayed'],
          [1, 0, mine, 'replayed'],
          [graceMs - 1, 0, mine, 'replayed'],
          [1, 0, mine, 'rotated'],
          [graceMs, -1, mine, 'replayed'],
          [graceMs - 1, -1, other, 'replayed'],
          [0, -1, other, 'replayed'],
          [graceMs, -1, mine, 'replayed'],
          [graceMs - 1, 0, other, 'replayed'],
          [0, -1, mine, 'replayed'],
          [1, 0, null, 'rotated'],
          [graceMs - 1, -1, third, 'replayed'],
          [0, 3, third, 'replayed'],
          [graceMs, 0, third, 'replayed'],
          [graceMs, 0, other, 'rotated'],
          [graceMs, -1, other, 'replayed'],
          [1, -1, null, 'replayed'],
          [1, -1, third, 'reused'],
        ]
      for (const [index, [waitMs, ahead, idempotencyKey, outcome]] of sent.entries()) {
        nowMs += waitMs
        const generation = expected.generation + ahead
        const request = rotation({ sid: expected.sid, generation, idempotencyKey, nowMs })
        const decision = decideRotation(expected, request)
        t.equal(decision.outcome, outcome, `step ${index}`)
        t.same(await store.rotate(request), decision)
        expected = decision.session
      }
    },
  )

  withStore(
    'I12: a thief who retries with their own key does not extend the grace period',
    async (t, store) => {
      const one = session({ sid: randomId() })
      await store.create(one)
      const { sid } = one
      const thiefs = { sid, generation: 0, idempotencyKey: digest('of the thief') }
      let nowMs = t0 + policy.graceMs
      t.equal((await store.rotate(rotation({ ...thiefs, nowMs }))).outcome, 'rotated')
      for (let times = 0; times < 6; times++) {
        nowMs += policy.graceMs - 1_000
        t.equal((await store.rotate(rotation({ ...thiefs, nowMs }))).outcome, 'replayed')
      }
      const owners = rotation({ sid, nowMs: nowMs + 1, idempotencyKey: digest('of the owner') })
      t.equal((await store.rotate(owners)).outcome, 'reused')
      t.equal((await store.rotate(rotation({ ...thiefs, nowMs }))).outcome, 'revoked')
      const log = await store.revocationsAfter(logStart, 10)
      t.match(log, [{ kind: 'session', id: sid }])
      t.equal(log.length, 1, 'verifiers are notified once')
    },
  )

  withStore(
    'a repeated refresh gets the same result, also after the grace period',
    async (t, store) => {
      const one = session({ sid: randomId() })
      await store.create(one)
      const strict = { ...policy, graceMs: 2_000 }
      const send = async (atMs: number, key: string, generation = 0) => {
        const idempotencyKey = digest(key)
        const request = {
          sid: one.sid,
          generation,
          nowMs: t0 + atMs,
          idempotencyKey,
          policy: strict,
        }
        const { outcome, session: after } = await store.rotate(rotation(request))
        return [outcome, after?.generation]
      }
      t.same(await send(1_800, 'K1'), ['replayed', 0])
      t.same(await send(2_200, 'K1'), ['replayed', 0], 'the same request')
      t.same(await send(4_100, 'K1'), ['replayed', 0], 'and once more')
      t.same(await send(4_700, 'K2'), ['rotated', 1], 'the next refresh')
      t.same(await send(4_800, 'K1'), ['replayed', 1], 'a late copy of the first')
      t.same(await send(7_000, 'K2'), ['replayed', 1], 'the answer was lost')
      t.same(await send(7_100, 'K3', 1), ['replayed', 1])
      t.same(await send(9_100, 'K3', 1), ['replayed', 1], 'the same request')
      t.same(await send(11_000, 'K4', 1), ['rotated', 2])
    },
  )

  withStore('a session that is bound to a key requires a proof of that key', async (t, store) => {
    const jkt = thisKey ?? null
    const one = session({ sid: randomId(), jkt })
    await store.create(one)
    t.same(await store.find(one.sid, t0), one)
    const nowMs = t0 + 20_000
    for (const other of [null, thatKey ?? null]) {
      const request = rotation({ sid: one.sid, nowMs, jkt: other })
      t.same(await store.rotate(request), { outcome: 'unproven', session: one })
    }
    t.same(await store.find(one.sid, t0), one, 'as it was')
    t.same(await store.revocationsAfter(logStart, 10), [])
    const { outcome, session: after } = await store.rotate(
      rotation({ sid: one.sid, nowMs, jkt, idempotencyKey: digest('key') }),
    )
    t.equal(outcome, 'rotated')
    t.match(after, { generation: 1, jkt })
    t.same(await store.find(one.sid, nowMs), after)
  })

  withStore('a revoked session never becomes live again', async (t, store) => {
    const one = session({ sid: randomId() })
    await store.create(one)
    await Promise.all([
      store.revoke(one.sid, t0 + 20_000, policy.revokedKeptMs),
      ...[0, 1, 5].map((generation) =>
        store.rotate(rotation({ sid: one.sid, generation, nowMs: t0 + 20_000 })),
      ),
    ])
    const { outcome } = await store.rotate(rotation({ sid: one.sid, nowMs: t0 + 20_001 }))
    t.equal(outcome, 'revoked')
    t.equal(await store.find(one.sid, t0 + 20_001), null)
  })

  const whereSwept = expiresByItself ? (..._: Parameters<typeof withStore>) => {} : withStore
  whereSwept('removes expired sessions, a slice at a time', async (t, store) => {
    const all = Array.from({ length: 25 }, (_, n) =>
      session({ sid: randomId(), expiresAtMs: t0 + (n % 2 === 0 ? 1_000 : 9_000) }),
    )
    await Promise.all(all.map((one) => store.create(one)))
    let slices = 1
    while (await store.removeExpired(t0 + 5_000, 10)) slices++
    t.ok(slices >= 2)
    const left = await store.listBySub('user-1', t0)
    t.equal(left.length, 12)
    for (const one of all.filter(({ expiresAtMs }) => expiresAtMs < t0 + 5_000)) {
      t.equal((await store.rotate(rotation({ sid: one.sid, nowMs: t0 }))).outcome, 'unknown')
    }
  })

  withStore(
    'the log has revocations in order, and readers continue from a position',
    async (t, store) => {
      const all = Array.from({ length: 4 }, (_, n) =>
        session({ sid: randomId(), sub: `user-${n}` }),
      )
      await Promise.all(all.map((one) => store.create(one)))
      const [a, b] = [all[0]?.sid ?? '', all[1]?.sid ?? '']
      t.same(await store.revocationsAfter(logStart, 10), [])
      await store.revoke(a, t0 + 1, policy.revokedKeptMs)
      await store.revoke(a, t0 + 2, policy.revokedKeptMs)
      await store.rotate(rotation({ sid: b, nowMs: t0 + 20_000 }))
      await store.rotate(rotation({ sid: b, nowMs: t0 + 50_000 }))
      await store.rotate(rotation({ sid: b, nowMs: t0 + 50_001 }))
      const first = await store.revocationsAfter(logStart, 10)
      t.match(first, [
        { kind: 'session', id: a, atMs: t0 + 1 },
        { kind: 'session', id: b, atMs: t0 + 50_000 },
      ])
      t.equal(first.length, 2)
      await store.revokeAll('user-2', t0 + 60_000, policy.revokedKeptMs)
      await store.revokeAll('nobody', t0 + 60_001, policy.revokedKeptMs)
      await store.appendRevocation('all', '', t0 + 60_002, policy.revokedKeptMs)
      const next = await store.revocationsAfter(first.at(-1)?.position ?? '', 10)
      t.match(next, [
        { kind: 'user', id: 'user-2', atMs: t0 + 60_000 },
        { kind: 'user', id: 'nobody' },
        { kind: 'all', id: /^$/, atMs: t0 + 60_002 },
      ])
      t.equal((await store.revocationsAfter(logStart, 2)).length, 2)
      t.same(await store.revocationsAfter(next.at(-1)?.position ?? '', 10), [])
    },
  )

  withStore(
    'a reader that follows the log misses no entry of concurrent writers',
    async (t, store) => {
      const all = Array.from({ length: 60 }, () => session({ sid: randomId() }))
      await Promise.all(all.map((one) => store.create(one)))
      const seen: string[] = []
      let position = logStart
      const follow = async () => {
        for (const entry of await store.revocationsAfter(position, 7)) {
          seen.push(entry.id)
          position = entry.position
        }
      }
      const writes = all.map((one) => store.revoke(one.sid, t0 + 1, policy.revokedKeptMs))
      for (let look = 0; look < 5; look++) await follow()
      await Promise.all(writes)
      while (seen.length < all.length) {
        const before = seen.length
        await follow()
        if (seen.length === before) break
      }
      t.same(seen.toSorted(), all.map(({ sid }) => sid).toSorted())
    },
  )

  withStore('log entries are removed an hour after they expire', async (t, store) => {
    await store.revokeAll('user-1', t0, policy.revokedKeptMs)
    await store.revokeAll('user-2', t0 + 1_000, policy.revokedKeptMs)
    const seen = (await store.revocationsAfter(logStart, 10)).at(-1)?.position ?? ''
    while (await store.removeExpired(t0 + policy.revokedKeptMs + followUpMs, 10));
    t.match(await store.revocationsAfter(logStart, 10), [{ id: 'user-2' }])
    while (await store.removeExpired(t0 + 2 * policy.revokedKeptMs + followUpMs, 10));
    t.same(await store.revocationsAfter(logStart, 10), [])
    await store.revokeAll('user-3', t0 + 2_000, policy.revokedKeptMs)
    t.match(await store.revocationsAfter(seen, 10), [{ id: 'user-3' }])
  })

  withStore(
    'a reader gets no entry again that is kept for longer than its last one',
    async (t, store) => {
      await store.appendRevocation('key', 'kid', t0, 2 * followUpMs)
      await store.appendRevocation('session', 'sid', t0, 1_000)
      const seen = (await store.revocationsAfter(logStart, 10)).at(-1)?.position ?? ''
      while (await store.removeExpired(t0 + 1_000 + followUpMs, 10));
      t.same(await store.revocationsAfter(seen, 10), [])
      while (await store.removeExpired(t0 + 3 * followUpMs, 10));
      t.same(await store.revocationsAfter(logStart, 10), [])
    },
  )

  withStore('ping succeeds', async (t, store) => {
    await t.resolves(store.ping())
  })

  oneTimeContract(t, open)
  if (!expiresByItself) oneTimeRemoval(t, open)
}

/** Runs work for all items, a hundred at a time. */
async function inTurn<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (let start = 0; start < items.length; start += 100) {
    results.push(...(await Promise.all(items.slice(start, start + 100).map(work))))
  }
  return results
}

/** Thumbprints of two keys. */
const [thisKey, thatKey] = ['this', 'that'].map((key) => digest(key).toString('base64url'))

/** A request: the time since the previous one, by the clock of its replica, and its generation. */
const step = fc.record({
  waitMs: fc.oneof(
    fc.integer({ min: -12_000, max: 12_000 }),
    fc.integer({ min: 0, max: 60_000 }),
    fc.constantFrom(0, 1, policy.graceMs - 1, policy.graceMs),
  ),
  ahead: fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(0, -1) },
    fc.integer({ min: -2, max: 2 }),
  ),
  key: fc.constantFrom(null, digest('key 1'), digest('key 1'), digest('key 2'), digest('key 3')),
  jkt: fc.oneof(
    { weight: 4, arbitrary: fc.constant(thisKey) },
    fc.constantFrom(null, thatKey),
  ) as fc.Arbitrary<string | null>,
  /** Whether the caller has read the session: just now, or before other requests. */
  read: fc.constantFrom('not', 'just now', 'before'),
})

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** Sends requests to a store and compares each result with `decideRotation`. */
async function follow(
  store: SessionStore,
  { graceMs, isBound, steps }: { graceMs: number; isBound: boolean; steps: readonly Step[] },
): Promise<void> {
  const first = session({ sid: randomId(), jkt: isBound ? (thisKey ?? null) : null })
  await store.create(first)
  let expected = first
  let nowMs = t0
  for (const { waitMs, ahead, key, jkt, read } of steps) {
    nowMs += waitMs
    const found = read === 'not' ? null : read === 'just now' ? expected : first
    const request: RotationRequest = rotation({
      sid: expected.sid,
      generation: Math.max(0, expected.generation + ahead),
      idempotencyKey: key,
      jkt,
      found,
      nowMs,
      policy: { ...policy, graceMs },
    })
    const decision = decideRotation(expected, request)
    deepStrictEqual(await store.rotate(request), decision)
    expected = decision.session
  }
}
