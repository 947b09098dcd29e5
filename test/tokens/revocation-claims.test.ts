import t from 'tap'
import {
  type Revocation,
  signRevocationEvent,
  signRevocationSnapshot,
} from '../../src/tokens/revocation-tokens.ts'
import { issuer, makeKey, now_s } from '../support/tokens.ts'

const testKey = makeKey('ES256')
const key = { kid: testKey.kid, alg: testKey.alg, key: testKey.privateKey }
const atMs = now_s * 1000 + 999

function payloadOf(jws: string) {
  return JSON.parse(Buffer.from(jws.split('.')[1] ?? '', 'base64url').toString())
}

const caep = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked'

t.test('each subject has the format of RFC 9493', async (t) => {
  const cases: [Revocation['kind'], string, string, object][] = [
    ['session', 's1', caep, { format: 'complex', session: { format: 'opaque', id: 's1' } }],
    ['user', 'u1', caep, { format: 'iss_sub', iss: issuer, sub: 'u1' }],
    ['all', '', caep, { format: 'complex', tenant: { format: 'uri', uri: issuer } }],
    ['key', 'k1', 'urn:gatepass:secevent:key-revoked', { format: 'opaque', id: 'k1' }],
  ]
  for (const [kind, id, type, sub_id] of cases) {
    const expiresAtMs = atMs + 304_001
    const event = { kind, id, atMs, expiresAtMs, position: '7', previous: '6' }
    t.strictSame(payloadOf(await signRevocationEvent(event, issuer, now_s, key)), {
      iss: issuer,
      iat: now_s,
      jti: '7',
      previous: '6',
      kept_s: 305,
      sub_id,
      events: { [type]: { event_timestamp: now_s } },
    })
  }
})

t.test('a snapshot lists each kind by its ids', async (t) => {
  const entries: Revocation[] = [
    { kind: 'session', id: 's1', atMs },
    { kind: 'key', id: 'k1', atMs },
    { kind: 'user', id: 'u1', atMs },
    { kind: 'key', id: 'k2', atMs: atMs + 1 },
  ]
  const snapshot = { position: '4', entries, kept_s: 305, readAt_s: now_s - 1 }
  t.strictSame(payloadOf(await signRevocationSnapshot(snapshot, issuer, now_s, key)), {
    iss: issuer,
    iat: now_s,
    read_at: now_s - 1,
    kept_s: 305,
    position: '4',
    sessions: { s1: now_s },
    users: { u1: now_s },
    keys: { k1: now_s, k2: now_s + 1 },
    all: null,
  })
})

t.test('A28: of two entries about one user the snapshot has the later time', async (t) => {
  const times = [atMs, atMs - 10_000]
  for (const order of [times, times.toReversed()]) {
    const entries = order.map((one): Revocation => ({ kind: 'user', id: 'u1', atMs: one }))
    const snapshot = { position: '2', entries, kept_s: 305, readAt_s: now_s }
    const { users } = payloadOf(await signRevocationSnapshot(snapshot, issuer, now_s, key))
    t.strictSame(users, { u1: now_s })
  }
})
