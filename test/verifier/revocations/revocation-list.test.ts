import t from 'tap'
import type { AccessTokenClaims } from '../../../src/tokens/access-token.ts'
import { RevocationList } from '../../../src/verifier/revocations/revocation-list.ts'
import { claimsWith, now_s } from '../../support/tokens.ts'

function claims(changes: Record<string, unknown> = {}): AccessTokenClaims {
  return claimsWith(changes) as unknown as AccessTokenClaims
}

t.test('a revoked session is refused whatever the iat of its tokens', async (t) => {
  const rules = new RevocationList(100)
  t.notOk(rules.isRevoked(claims(), 'k1'))
  t.ok(rules.add({ kind: 'session', id: 'session-1', at_s: now_s }))
  t.ok(rules.isRevoked(claims({ iat: now_s - 10 }), 'k1'))
  t.ok(rules.isRevoked(claims({ iat: now_s + 3 }), 'k1'), 'signed by a replica that is ahead')
  t.notOk(rules.isRevoked(claims({ sid: 'session-2' }), 'k1'))
  t.notOk(rules.isRevoked(claims({ sid: undefined }), 'k1'))
})

t.test('the tokens of a user, and all tokens, are refused until a time', async (t) => {
  for (const kind of ['user', 'all'] as const) {
    const rules = new RevocationList(100)
    const entry = { kind, id: kind === 'user' ? 'user-1' : '', at_s: now_s }
    t.same([rules.add(entry), rules.add(entry)], [true, false], 'it is new once')
    t.ok(rules.isRevoked(claims({ iat: now_s }), 'k1'), kind)
    t.notOk(rules.isRevoked(claims({ iat: now_s + 1 }), 'k1'), `${kind}, signed in again`)
    t.equal(rules.isRevoked(claims({ sub: 'user-2' }), 'k1'), kind === 'all')
  }
})

t.test('a revoked key is refused whatever the iat of its tokens', async (t) => {
  const rules = new RevocationList(100)
  rules.add({ kind: 'key', id: 'k1', at_s: now_s })
  t.ok(rules.isRevoked(claims({ iat: now_s + 1000 }), 'k1'))
  t.notOk(rules.isRevoked(claims(), 'k2'))
  t.ok(rules.isKeyRevoked('k1'))
})

t.test('A28: of two not-before rules the later wins, in any order', async (t) => {
  for (const times of [
    [now_s, now_s - 100],
    [now_s - 100, now_s],
  ]) {
    for (const [first, second] of [
      ['user', 'user'],
      ['all', 'all'],
      ['all', 'user'],
      ['user', 'all'],
    ] as const) {
      const rules = new RevocationList(100)
      rules.add({ kind: first, id: first === 'user' ? 'user-1' : '', at_s: times[0] ?? 0 })
      rules.add({ kind: second, id: second === 'user' ? 'user-1' : '', at_s: times[1] ?? 0 })
      t.ok(rules.isRevoked(claims({ iat: now_s }), 'k1'), `${first} ${second} ${times}`)
      t.notOk(rules.isRevoked(claims({ iat: now_s + 1 }), 'k1'))
    }
  }
})

t.test('an entry is removed when its tokens have expired, and not earlier', async (t) => {
  const rules = new RevocationList(100)
  rules.add({ kind: 'session', id: 'session-1', at_s: now_s })
  rules.add({ kind: 'user', id: 'user-2', at_s: now_s })
  rules.add({ kind: 'all', id: '', at_s: now_s - 1000 })
  rules.add({ kind: 'key', id: 'k1', at_s: now_s })
  t.equal(rules.entries, 4)
  rules.prune(now_s + 305, 305)
  t.equal(rules.entries, 3, 'the rule for all was older')
  rules.add({ kind: 'all', id: '', at_s: now_s })
  rules.prune(now_s + 305, 305)
  t.equal(rules.entries, 4)
  rules.prune(now_s + 306, 305)
  t.equal(rules.entries, 1)
  // The key may be in a set that is kept for 30 days.
  rules.prune(now_s + 31 * 86_400 + 305, 305)
  t.ok(rules.isRevoked(claims({ iat: now_s + 1000 }), 'k1'))
  rules.prune(now_s + 31 * 86_400 + 306, 305)
  t.equal(rules.entries, 0)
  t.notOk(rules.isRevoked(claims(), 'k1'))
})

t.test('a full list becomes coarser, and no revoked token is accepted', async (t) => {
  const tolerance_s = 5
  const rules = new RevocationList(1000, tolerance_s)
  const at = (n: number) => now_s - 100_000 + n
  for (let n = 0; n < 50_000; n++) {
    rules.add({ kind: n % 2 === 0 ? 'session' : 'user', id: `id-${n}`, at_s: at(n) })
    if (rules.entries > 1001) return t.fail('it grows')
  }
  t.ok(rules.coarsened > 0)
  const accepted = Array.from({ length: 50_000 }, (_, n) => n).filter((n) => {
    const subject = n % 2 === 0 ? { sid: `id-${n}` } : { sub: `id-${n}` }
    // A replica that was ahead may have dated the token of a session later.
    const latest = n % 2 === 0 ? at(n) + tolerance_s : at(n)
    return !rules.isRevoked(claims({ ...subject, iat: latest }), 'k1')
  })
  t.same(accepted, [])
  t.notOk(rules.isRevoked(claims({ iat: at(50_000) }), 'k1'), 'what is newer is good')
})

t.test('too many revoked keys are an error', async (t) => {
  const rules = new RevocationList(2000)
  for (let n = 0; n < 1001; n++) rules.add({ kind: 'session', id: `s${n}`, at_s: now_s })
  for (let n = 0; n < 1000; n++) rules.add({ kind: 'key', id: `k${n}`, at_s: now_s })
  t.throws(() => rules.add({ kind: 'key', id: 'one more', at_s: now_s }), /more than 1000 keys/)
  t.notOk(rules.add({ kind: 'key', id: 'k1', at_s: now_s }), 'a known one is none more')
  t.ok(rules.add({ kind: 'key', id: 'k1', at_s: now_s + 1 }), 'nor if it is revoked again')
})
