import t from 'tap'
import {
  activeKey,
  deletableKeys,
  dueKey,
  epochOf,
  type KeyInfo,
  keyPolicyProblems,
  keyState,
  keyStatuses,
  leadMs,
  manualKey,
  type NewKey,
  noticeMs,
  removedAtMs,
  replacementKey,
  sortByActivation,
  stableInterval,
} from '../../src/keys/lifecycle.ts'
import { fakeKey, policy, startMs } from './support.ts'

const first = fakeKey(startMs)
const second = fakeKey(startMs + 10_000)
const third = fakeKey(startMs + 20_000)
const keys = [first, second, third]

t.test('replicas notice a key within a tenth of the max-age, with limits', async (t) => {
  t.equal(noticeMs({ ...policy, jwksMaxAgeMs: 1_000 }), 200)
  t.equal(noticeMs({ ...policy, jwksMaxAgeMs: 30_001 }), 3_001, 'whole milliseconds')
  t.equal(noticeMs({ ...policy, jwksMaxAgeMs: 300_000 }), 5_000)
})

t.test('the lead time outlasts every copy of a JWKS without the key', async (t) => {
  t.equal(leadMs(policy), 1_000 + 500 + 200)
})

t.test('a rotation period that is not longer than the lead time is a problem', async (t) => {
  t.strictSame(keyPolicyProblems(policy), [])
  t.strictSame(keyPolicyProblems({ ...policy, rotationMs: 1_701 }), [])
  const [problem, ...more] = keyPolicyProblems({ ...policy, rotationMs: 1_700 })
  t.strictSame(more, [])
  for (const figure of ['1.7 s', '1 s', '0.5 s', '0.2 s']) t.match(problem, figure)
})

t.test('a token lifetime of more than 16 rotation periods is a problem', async (t) => {
  const longest = { ...policy, accessTtlMs: 16 * policy.rotationMs }
  t.strictSame(keyPolicyProblems(longest), [])
  const [problem, ...more] = keyPolicyProblems({ ...longest, accessTtlMs: 160_001 })
  t.strictSame(more, [])
  for (const figure of ['160.001 s', '16 key', '10 s']) t.match(problem, figure)
})

t.test('epochs are numbered from 1970', async (t) => {
  t.equal(epochOf(startMs - 1, policy), 99)
  t.equal(epochOf(startMs, policy), 100)
})

t.test('a key is pending, active, retiring, removed', async (t) => {
  const states = (timeMs: number) => keys.map((key) => keyState(key, keys, policy, timeMs))
  t.strictSame(states(startMs + 9_999), ['active', 'pending', 'pending'])
  t.strictSame(states(startMs + 10_000), ['retiring', 'active', 'pending'])
  t.strictSame(states(startMs + 13_499), ['retiring', 'active', 'pending'])
  t.strictSame(states(startMs + 13_500), ['removed', 'active', 'pending'])
  t.strictSame(states(startMs + 99_999), ['removed', 'removed', 'active'])
})

t.test('a key is removed when its last token has expired by every clock', async (t) => {
  t.equal(removedAtMs(first, keys, policy), second.activateAtMs + 3_000 + 500)
  t.equal(removedAtMs(third, keys, policy), null, 'no key follows it')
  const unannounced = fakeKey(startMs + 9_500, { createdAtMs: startMs + 10_000 })
  const noticedMs = startMs + 10_000 + 200 + 500
  t.equal(removedAtMs(first, [first, unannounced], policy), noticedMs + 3_000 + 500)
})

t.test('the status of a key has no private members', async (t) => {
  const [status] = keyStatuses([{ ...first, ...{ privateJwk: {} } }, second], policy, startMs)
  t.strictSame(status, { ...first, state: 'active', removedAtMs: startMs + 13_500 })
})

t.test('of two keys that activate together all replicas sign with the same key', async (t) => {
  const a = fakeKey(startMs, { name: 'a', kid: 'a' })
  const b = fakeKey(startMs, { name: 'b', kid: 'b' })
  for (const order of [sortByActivation([a, b]), sortByActivation([b, a])]) {
    t.equal(activeKey(order, startMs)?.kid, 'b')
    t.equal(keyState(a, order, policy, startMs), 'retiring')
    t.equal(
      keyState(a, order, policy, startMs - 1),
      'active',
      'the first key before any activation',
    )
  }
  const newest = fakeKey(startMs, { name: '0', kid: '0', createdAtMs: 1 })
  for (const order of [sortByActivation([newest, b]), sortByActivation([b, newest])]) {
    t.equal(activeKey(order, startMs)?.kid, '0', 'the newest')
  }
})

t.test('before the first activation the first key signs', async (t) => {
  const early = startMs - 1_000_000
  t.equal(activeKey(keys, early)?.kid, first.kid)
  t.strictSame(
    keys.map((key) => keyState(key, keys, policy, early)),
    ['active', 'pending', 'pending'],
  )
  t.equal(activeKey([], early), undefined)
})

t.test('the stable interval ends at the next change of state', async (t) => {
  t.strictSame(stableInterval(keys, policy, startMs + 12_000), {
    fromMs: startMs + 10_000,
    untilMs: startMs + 13_500,
  })
  t.strictSame(stableInterval(keys, policy, startMs + 13_500), {
    fromMs: startMs + 13_500,
    untilMs: startMs + 20_000,
  })
  t.strictSame(stableInterval(keys, policy, startMs - 1), { fromMs: -Infinity, untilMs: startMs })
  t.strictSame(stableInterval([], policy, startMs), { fromMs: -Infinity, untilMs: Infinity })
})

t.test('a key may be deleted one token lifetime after its removal', async (t) => {
  const forgotten = (timeMs: number) => deletableKeys(keys, policy, timeMs).map(({ kid }) => kid)
  t.strictSame(forgotten(startMs + 16_499), [])
  t.strictSame(forgotten(startMs + 16_500), [first.kid])
  t.strictSame(forgotten(startMs + 999_999), [first.kid, second.kid], 'never the last one')
})

t.test('a revoked key neither signs nor is published', async (t) => {
  const revokedAtMs = startMs + 12_000
  const gone = { ...second, revokedAtMs }
  const left = [first, gone, third]
  const states = (timeMs: number) => left.map((key) => keyState(key, left, policy, timeMs))
  t.strictSame(states(startMs + 1), ['active', 'revoked', 'pending'], 'by a clock that is behind')
  t.strictSame(states(startMs + 12_000), ['active', 'revoked', 'pending'])
  t.strictSame(states(startMs + 20_000), ['retiring', 'revoked', 'active'])
  t.equal(activeKey(left, startMs + 12_000)?.kid, first.kid)
  t.equal(removedAtMs(gone, left, policy), revokedAtMs)
  t.equal(removedAtMs(first, left, policy), third.activateAtMs + 3_000 + 500)
  t.strictSame(stableInterval(left, policy, startMs + 12_000), {
    fromMs: startMs,
    untilMs: startMs + 20_000,
  })
})

t.test('the key that signs before the first activation is not revoked', async (t) => {
  const left = [{ ...first, revokedAtMs: startMs }, second]
  t.equal(activeKey(left, startMs + 1)?.kid, second.kid)
  t.equal(activeKey([{ ...first, revokedAtMs: startMs }], startMs), undefined)
})

t.test('a revoked key may be deleted a token lifetime after its last token expired', async (t) => {
  const left = [{ ...first, revokedAtMs: startMs + 1_000 }, second]
  const forgotten = (timeMs: number) => deletableKeys(left, policy, timeMs).map(({ kid }) => kid)
  t.strictSame(forgotten(startMs + 1_000 + 3_500 + 2_999), [])
  t.strictSame(forgotten(startMs + 1_000 + 3_500 + 3_000), [first.kid])
})

const lead = 1_700
const poll = 200
const nextMs = startMs + policy.rotationMs
const current = fakeKey(startMs)

function made(planned: NewKey | null): KeyInfo {
  if (planned === null) throw new Error('nothing was planned')
  return { ...planned, kid: `kid of ${planned.name}`, createdAtMs: 0, revokedAtMs: null }
}

t.test('the first key signs at once, and all replicas derive the same key', async (t) => {
  const expected = { name: 'epoch-100-ES256', alg: 'ES256' as const, activateAtMs: startMs }
  t.strictSame(dueKey([], 'ES256', policy, startMs), expected)
  t.strictSame(dueKey([], 'ES256', policy, nextMs - 1), expected)
})

t.test('the key of the next epoch is created one poll before its lead time', async (t) => {
  t.equal(dueKey([current], 'ES256', policy, nextMs - lead - poll - 1), null)
  t.strictSame(dueKey([current], 'ES256', policy, nextMs - lead - poll), {
    name: 'epoch-101-ES256',
    alg: 'ES256',
    activateAtMs: nextMs,
  })
})

t.test('a key that is created late still signs after its lead time', async (t) => {
  const lateMs = nextMs - 300
  const planned = dueKey([current], 'ES256', policy, lateMs)
  t.match(planned, { name: 'epoch-101-ES256', activateAtMs: lateMs + lead })
  t.equal(dueKey([current, made(planned)], 'ES256', policy, lateMs), null)
})

t.test('after a long outage the old key signs until verifiers know the new key', async (t) => {
  const backMs = startMs + 5 * policy.rotationMs + 4_000
  const planned = dueKey([current], 'ES256', policy, backMs)
  t.match(planned, { name: 'epoch-105-ES256', activateAtMs: backMs + lead })
  t.equal(
    activeKey(sortByActivation([current, made(planned)]), backMs + lead - 1)?.kid,
    current.kid,
  )
})

t.test('another algorithm takes over after the lead time', async (t) => {
  const nowMs = startMs + 4_000
  t.match(dueKey([current], 'RS256', policy, nowMs), {
    name: 'epoch-100-RS256',
    alg: 'RS256',
    activateAtMs: nowMs + lead,
  })
})

t.test('a key of another algorithm activates after the pending key', async (t) => {
  const waiting = fakeKey(nextMs)
  const planned = dueKey([current, waiting], 'RS256', policy, nextMs - lead - 1)
  t.match(planned, { name: 'epoch-101-RS256', activateAtMs: nextMs + 1 })
  const keys = [current, waiting, made(planned)]
  t.equal(activeKey(sortByActivation(keys), nextMs + 1)?.alg, 'RS256')
})

t.test('replicas with different algorithms create one key each per epoch', async (t) => {
  const keys: KeyInfo[] = [current]
  for (let nowMs = startMs; nowMs < nextMs - lead - poll; nowMs += 50) {
    for (const alg of ['RS256', 'ES256'] as const) {
      const planned = dueKey(keys, alg, policy, nowMs)
      if (planned !== null) keys.push(made(planned))
    }
  }
  t.strictSame(keys.map(({ name }) => name).sort(), ['epoch-100-ES256', 'epoch-100-RS256'])
})

t.test('a manual rotation signs after the lead time and changes no epoch', async (t) => {
  const planned = manualKey('ES256', policy, startMs + 2_000)
  t.strictSame(planned, {
    name: `manual-${startMs + 2_000 + lead}-ES256`,
    alg: 'ES256',
    activateAtMs: startMs + 2_000 + lead,
  })
  const keys = [current, made(planned)]
  t.equal(dueKey(keys, 'ES256', policy, startMs + 5_000), null)
  t.match(dueKey(keys, 'ES256', policy, nextMs - lead), { activateAtMs: nextMs })
})

t.test('keys from a clock that was far ahead do not stop the rotation', async (t) => {
  const future = fakeKey(startMs + 1_000_000)
  const planned = dueKey([future], 'ES256', policy, startMs + 2_000)
  t.match(planned, { name: 'epoch-100-ES256', activateAtMs: startMs + 2_000 + lead })
  t.equal(dueKey([future, made(planned)], 'ES256', policy, startMs + 2_000), null)
})

t.test('the replacement of the active key signs at once by every clock', async (t) => {
  const nowMs = startMs + 4_000
  const planned = replacementKey(current.kid, [current], 'RS256', policy, nowMs)
  t.strictSame(planned, {
    name: `after-${current.kid}`,
    alg: 'RS256',
    activateAtMs: nowMs - policy.clockSkewMs,
  })
  const revoked = { ...current, revokedAtMs: nowMs }
  const keys = sortByActivation([revoked, made(planned)])
  for (const clockMs of [nowMs - policy.clockSkewMs, nowMs, nowMs + policy.clockSkewMs]) {
    t.equal(activeKey(keys, clockMs)?.kid, made(planned).kid)
  }
  t.equal(dueKey(keys, 'RS256', policy, nowMs), null, 'it is the key of this epoch')
})

t.test('a replacement does not activate before the key that it replaces', async (t) => {
  const old = fakeKey(startMs - policy.rotationMs)
  const nowMs = startMs + 1
  const planned = replacementKey(current.kid, [old, current], 'ES256', policy, nowMs)
  t.match(planned, { activateAtMs: startMs })
  const keys = sortByActivation([old, { ...current, revokedAtMs: nowMs }, made(planned)])
  t.equal(activeKey(keys, startMs)?.kid, made(planned).kid)
})

t.test('a key that signs nowhere needs no replacement', async (t) => {
  const old = fakeKey(startMs - policy.rotationMs)
  const next = fakeKey(nextMs)
  const keys = [old, current, next]
  const isReplaced = ({ kid }: KeyInfo, nowMs: number) =>
    replacementKey(kid, keys, 'ES256', policy, nowMs) !== null
  const { clockSkewMs: skew } = policy
  t.ok(isReplaced(old, startMs + skew - 1), 'a clock behind still signs with it')
  t.notOk(isReplaced(old, startMs + skew))
  t.ok(isReplaced(old, startMs - 1_000_000), 'before the first activation the first key signs')
  t.notOk(isReplaced(next, nextMs - skew - poll - 1))
  t.ok(isReplaced(next, nextMs - skew - poll), 'a clock ahead signs before it notices')
  t.notOk(replacementKey('unknown', keys, 'ES256', policy, startMs))
})

t.test('a key that is revoked before it activates gets an announced replacement', async (t) => {
  const nowMs = nextMs - lead
  const revoked = fakeKey(nextMs, { revokedAtMs: nowMs })
  const planned = dueKey([current, revoked], 'ES256', policy, nowMs)
  t.match(planned, { name: 'epoch-101-ES256-2', activateAtMs: nextMs })
  const another = fakeKey(startMs - policy.rotationMs, { revokedAtMs: nowMs })
  t.strictSame(dueKey([another, current, revoked], 'ES256', policy, nowMs), planned)
  t.equal(dueKey([current, revoked, made(planned)], 'ES256', policy, nowMs), null)
  const again = { ...made(planned), revokedAtMs: nowMs }
  t.match(dueKey([current, revoked, again], 'ES256', policy, nowMs), {
    name: 'epoch-101-ES256-3',
  })
})

t.test('when every key is revoked, a new key signs at once', async (t) => {
  const revoked = { ...current, revokedAtMs: startMs + 1 }
  const planned = dueKey([revoked], 'ES256', policy, startMs + 2)
  t.match(planned, { name: 'epoch-100-ES256-2', activateAtMs: startMs })
})
