import t from 'tap'
import {
  activeKey,
  epochOf,
  forgettableKeys,
  inTurn,
  keyState,
  keyStatuses,
  leadMs,
  pollMs,
  removedAtMs,
  schedulePolicyProblems,
  steadyTime,
} from '../../src/keys/schedule.ts'
import { fakeKey, policy, startMs } from './support.ts'

const first = fakeKey(startMs)
const second = fakeKey(startMs + 10_000)
const third = fakeKey(startMs + 20_000)
const keys = [first, second, third]

t.test('a store is looked at ten times in a max-age, within limits', async (t) => {
  t.equal(pollMs({ ...policy, jwksMaxAgeMs: 1_000 }), 200)
  t.equal(pollMs({ ...policy, jwksMaxAgeMs: 30_001 }), 3_001, 'whole milliseconds')
  t.equal(pollMs({ ...policy, jwksMaxAgeMs: 300_000 }), 5_000)
})

t.test('the lead outlasts every copy of a JWKS without the key', async (t) => {
  t.equal(leadMs(policy), 1_000 + 500 + 200)
})

t.test('a rotation period that is not longer than the lead is a problem', async (t) => {
  t.strictSame(schedulePolicyProblems(policy), [])
  t.strictSame(schedulePolicyProblems({ ...policy, rotationMs: 1_701 }), [])
  const [problem, ...more] = schedulePolicyProblems({ ...policy, rotationMs: 1_700 })
  t.strictSame(more, [])
  for (const figure of ['1.7 s', '1 s', '0.5 s', '0.2 s']) t.match(problem, figure)
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

t.test('removal waits for the last token of the key, by every clock', async (t) => {
  t.equal(removedAtMs(first, keys, policy), second.activateAtMs + 3_000 + 500)
  t.equal(removedAtMs(third, keys, policy), null, 'nothing follows it')
})

t.test('the status of a key has what anyone may know', async (t) => {
  const [status] = keyStatuses([{ ...first, ...{ privateJwk: {} } }, second], policy, startMs)
  t.strictSame(status, { ...first, state: 'active', removedAtMs: startMs + 13_500 })
})

t.test('of two keys with one turn all replicas take the same', async (t) => {
  const a = fakeKey(startMs, { name: 'a', kid: 'a' })
  const b = fakeKey(startMs, { name: 'b', kid: 'b' })
  for (const order of [inTurn([a, b]), inTurn([b, a])]) {
    t.equal(activeKey(order, startMs)?.kid, 'b')
    t.equal(keyState(a, order, policy, startMs), 'retiring')
    t.equal(keyState(a, order, policy, startMs - 1), 'active', 'the first before any turn')
  }
})

t.test(
  'before the first turn the first key signs, so a clock set back leaves none without',
  async (t) => {
    const early = startMs - 1_000_000
    t.equal(activeKey(keys, early)?.kid, first.kid)
    t.strictSame(
      keys.map((key) => keyState(key, keys, policy, early)),
      ['active', 'pending', 'pending'],
    )
    t.equal(activeKey([], early), undefined)
  },
)

t.test('between two changes nothing changes', async (t) => {
  t.strictSame(steadyTime(keys, policy, startMs + 12_000), {
    fromMs: startMs + 10_000,
    untilMs: startMs + 13_500,
  })
  t.strictSame(steadyTime(keys, policy, startMs + 13_500), {
    fromMs: startMs + 13_500,
    untilMs: startMs + 20_000,
  })
  t.strictSame(steadyTime(keys, policy, startMs - 1), { fromMs: -Infinity, untilMs: startMs })
  t.strictSame(steadyTime([], policy, startMs), { fromMs: -Infinity, untilMs: Infinity })
})

t.test('a key is forgotten one token life after it was removed', async (t) => {
  const forgotten = (timeMs: number) => forgettableKeys(keys, policy, timeMs).map(({ kid }) => kid)
  t.strictSame(forgotten(startMs + 16_499), [])
  t.strictSame(forgotten(startMs + 16_500), [first.kid])
  t.strictSame(forgotten(startMs + 999_999), [first.kid, second.kid], 'never the last one')
})

t.test('a revoked key has no turn: it neither signs nor is it published', async (t) => {
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
  t.strictSame(steadyTime(left, policy, startMs + 12_000), {
    fromMs: startMs,
    untilMs: startMs + 20_000,
  })
})

t.test('a key before the first turn is never a revoked one', async (t) => {
  const left = [{ ...first, revokedAtMs: startMs }, second]
  t.equal(activeKey(left, startMs + 1)?.kid, second.kid)
  t.equal(activeKey([{ ...first, revokedAtMs: startMs }], startMs), undefined)
})

t.test('a revoked key is forgotten when it would have been', async (t) => {
  const left = [{ ...first, revokedAtMs: startMs + 1_000 }, second]
  const forgotten = (timeMs: number) => forgettableKeys(left, policy, timeMs).map(({ kid }) => kid)
  t.strictSame(forgotten(startMs + 1_000 + 3_500 + 2_999), [])
  t.strictSame(forgotten(startMs + 1_000 + 3_500 + 3_000), [first.kid])
})
