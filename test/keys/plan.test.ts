import t from 'tap'
import { manualKey, type PlannedKey, plannedKey, replacementKey } from '../../src/keys/plan.ts'
import { activeKey, inTurn } from '../../src/keys/schedule.ts'
import type { KeyInfo } from '../../src/keys/store.ts'
import { fakeKey, policy, startMs } from './support.ts'

const lead = 1_700
const poll = 200
const nextMs = startMs + policy.rotationMs
const current = fakeKey(startMs)

function made(planned: PlannedKey | null): KeyInfo {
  if (planned === null) throw new Error('nothing was planned')
  return { ...planned, kid: `kid of ${planned.name}`, createdAtMs: 0, revokedAtMs: null }
}

t.test('the very first key signs at once, and all replicas plan the same', async (t) => {
  const expected = { name: 'epoch-100-ES256', alg: 'ES256' as const, activateAtMs: startMs }
  t.strictSame(plannedKey([], 'ES256', policy, startMs), expected)
  t.strictSame(plannedKey([], 'ES256', policy, nextMs - 1), expected)
})

t.test('the key of the next epoch is made one poll before its lead', async (t) => {
  t.equal(plannedKey([current], 'ES256', policy, nextMs - lead - poll - 1), null)
  t.strictSame(plannedKey([current], 'ES256', policy, nextMs - lead - poll), {
    name: 'epoch-101-ES256',
    alg: 'ES256',
    activateAtMs: nextMs,
  })
})

t.test('a key that is made late signs late, not unannounced', async (t) => {
  const lateMs = nextMs - 300
  const planned = plannedKey([current], 'ES256', policy, lateMs)
  t.match(planned, { name: 'epoch-101-ES256', activateAtMs: lateMs + lead })
  t.equal(plannedKey([current, made(planned)], 'ES256', policy, lateMs), null)
})

t.test('after epochs without service the old key signs until the new one is known', async (t) => {
  const backMs = startMs + 5 * policy.rotationMs + 4_000
  const planned = plannedKey([current], 'ES256', policy, backMs)
  t.match(planned, { name: 'epoch-105-ES256', activateAtMs: backMs + lead })
  t.equal(activeKey(inTurn([current, made(planned)]), backMs + lead - 1)?.kid, current.kid)
})

t.test('another algorithm takes over after the lead', async (t) => {
  const nowMs = startMs + 4_000
  t.match(plannedKey([current], 'RS256', policy, nowMs), {
    name: 'epoch-100-RS256',
    alg: 'RS256',
    activateAtMs: nowMs + lead,
  })
})

t.test('another algorithm comes after the key that waits for the next epoch', async (t) => {
  const waiting = fakeKey(nextMs)
  const planned = plannedKey([current, waiting], 'RS256', policy, nextMs - lead - 1)
  t.match(planned, { name: 'epoch-101-RS256', activateAtMs: nextMs + 1 })
  const keys = [current, waiting, made(planned)]
  t.equal(activeKey(inTurn(keys), nextMs + 1)?.alg, 'RS256')
})

t.test('replicas with different settings make one key each, not one a look', async (t) => {
  const keys: KeyInfo[] = [current]
  for (let nowMs = startMs; nowMs < nextMs - lead - poll; nowMs += 50) {
    for (const alg of ['RS256', 'ES256'] as const) {
      const planned = plannedKey(keys, alg, policy, nowMs)
      if (planned !== null) keys.push(made(planned))
    }
  }
  t.strictSame(keys.map(({ name }) => name).sort(), ['epoch-100-ES256', 'epoch-100-RS256'])
})

t.test('a rotation by hand signs after the lead and leaves the epochs alone', async (t) => {
  const planned = manualKey('ES256', policy, startMs + 2_000)
  t.strictSame(planned, {
    name: `manual-${startMs + 2_000 + lead}-ES256`,
    alg: 'ES256',
    activateAtMs: startMs + 2_000 + lead,
  })
  const keys = [current, made(planned)]
  t.equal(plannedKey(keys, 'ES256', policy, startMs + 5_000), null)
  t.match(plannedKey(keys, 'ES256', policy, nextMs - lead), { activateAtMs: nextMs })
})

t.test('keys from a clock that was far ahead do not stop the rotation', async (t) => {
  const future = fakeKey(startMs + 1_000_000)
  const planned = plannedKey([future], 'ES256', policy, startMs + 2_000)
  t.match(planned, { name: 'epoch-100-ES256', activateAtMs: startMs + 2_000 + lead })
  t.equal(plannedKey([future, made(planned)], 'ES256', policy, startMs + 2_000), null)
})

t.test('the key that signs is replaced at once, by every clock', async (t) => {
  const nowMs = startMs + 4_000
  const planned = replacementKey(current.kid, [current], 'RS256', policy, nowMs)
  t.strictSame(planned, {
    name: `after-${current.kid}`,
    alg: 'RS256',
    activateAtMs: nowMs - policy.clockSkewMs,
  })
  const revoked = { ...current, revokedAtMs: nowMs }
  const keys = inTurn([revoked, made(planned)])
  for (const clockMs of [nowMs - policy.clockSkewMs, nowMs, nowMs + policy.clockSkewMs]) {
    t.equal(activeKey(keys, clockMs)?.kid, made(planned).kid)
  }
  t.equal(plannedKey(keys, 'RS256', policy, nowMs), null, 'it is the key of this epoch')
})

t.test('a replacement has its turn behind every key before', async (t) => {
  const old = fakeKey(startMs - policy.rotationMs)
  const nowMs = startMs + 1
  const planned = replacementKey(current.kid, [old, current], 'ES256', policy, nowMs)
  t.match(planned, { activateAtMs: startMs })
  const keys = inTurn([old, { ...current, revokedAtMs: nowMs }, made(planned)])
  t.equal(activeKey(keys, startMs)?.kid, made(planned).kid)
})

t.test('a key that signs nowhere needs no replacement', async (t) => {
  const old = fakeKey(startMs - policy.rotationMs)
  const next = fakeKey(nextMs)
  const keys = [old, current, next]
  const isReplaced = ({ kid }: KeyInfo, nowMs: number) =>
    replacementKey(kid, keys, 'ES256', policy, nowMs) !== null
  const { clockSkewMs: skew } = policy
  t.ok(isReplaced(old, startMs + skew - 1), 'a clock that is behind has it sign')
  t.notOk(isReplaced(old, startMs + skew))
  t.notOk(isReplaced(next, nextMs - skew - poll - 1))
  t.ok(isReplaced(next, nextMs - skew - poll), 'one ahead has it sign before this is noticed')
  t.notOk(replacementKey('unknown', keys, 'ES256', policy, startMs))
})

t.test(
  'the key of an epoch that was revoked before its turn is made again, announced',
  async (t) => {
    const nowMs = nextMs - lead
    const revoked = fakeKey(nextMs, { revokedAtMs: nowMs })
    const planned = plannedKey([current, revoked], 'ES256', policy, nowMs)
    t.match(planned, { name: 'epoch-101-ES256-2', activateAtMs: nextMs })
    t.equal(plannedKey([current, revoked, made(planned)], 'ES256', policy, nowMs), null)
    const again = { ...made(planned), revokedAtMs: nowMs }
    t.match(plannedKey([current, revoked, again], 'ES256', policy, nowMs), {
      name: 'epoch-101-ES256-3',
    })
  },
)

t.test('when every key is revoked there is a new one at once', async (t) => {
  const revoked = { ...current, revokedAtMs: startMs + 1 }
  const planned = plannedKey([revoked], 'ES256', policy, startMs + 2)
  t.match(planned, { name: 'epoch-100-ES256-2', activateAtMs: startMs })
})
