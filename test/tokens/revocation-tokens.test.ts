import t from 'tap'
import type { JsonObject } from '../../src/core/json.ts'
import {
  type Revocation,
  readRevocationEvent,
  readRevocationSnapshot,
  signRevocationEvent,
  signRevocationSnapshot,
} from '../../src/tokens/revocation-tokens.ts'
import { issuer, makeKey, now_s } from '../support/tokens.ts'

const { kid, alg, privateKey } = makeKey('ES256')
const key = { kid, alg, key: privateKey }
const atMs = now_s * 1000 + 999
const subjects: readonly Revocation[] = [
  { kind: 'session', id: 'session-1', atMs },
  { kind: 'user', id: 'user-1', atMs },
  { kind: 'all', id: '', atMs },
  { kind: 'key', id: 'key-1', atMs },
]
const caep = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked'

function payloadOf(jws: string): Buffer {
  return Buffer.from(jws.split('.')[1] ?? '', 'base64url')
}

function claimsOf(jws: string): JsonObject {
  return JSON.parse(payloadOf(jws).toString())
}

function bytes(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}

async function eventOf(subject: Revocation): Promise<JsonObject> {
  const expiresAtMs = subject.atMs + 304_001
  const event = { ...subject, expiresAtMs, position: '7', previous: '6' }
  return claimsOf(await signRevocationEvent(event, issuer, now_s, key))
}

t.test('each subject has the format of RFC 9493', async (t) => {
  const cases: [Revocation['kind'], string, string, object][] = [
    ['session', 's1', caep, { format: 'complex', session: { format: 'opaque', id: 's1' } }],
    ['user', 'u1', caep, { format: 'iss_sub', iss: issuer, sub: 'u1' }],
    ['all', '', caep, { format: 'complex', tenant: { format: 'uri', uri: issuer } }],
    ['key', 'k1', 'urn:gatepass:secevent:key-revoked', { format: 'opaque', id: 'k1' }],
  ]
  for (const [kind, id, type, sub_id] of cases) {
    t.strictSame(await eventOf({ kind, id, atMs }), {
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
  t.strictSame(claimsOf(await signRevocationSnapshot(snapshot, issuer, now_s, key)), {
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
    const { users } = claimsOf(await signRevocationSnapshot(snapshot, issuer, now_s, key))
    t.strictSame(users, { u1: now_s })
  }
})

t.test('reads what an issuer signs', async (t) => {
  for (const subject of subjects) {
    t.same(readRevocationEvent(bytes(await eventOf(subject)), issuer), {
      position: '7',
      previous: '6',
      kept_s: 305,
      entry: { kind: subject.kind, id: subject.id, at_s: now_s },
    })
  }
  const snapshot = { position: '4', entries: subjects, kept_s: 305, readAt_s: now_s - 1 }
  const jws = await signRevocationSnapshot(snapshot, issuer, now_s, key)
  const { entries, ...others } = readRevocationSnapshot(payloadOf(jws), issuer)
  t.same(others, { position: '4', kept_s: 305, readAt_s: now_s - 1 })
  const expected = subjects.map(({ kind, id }) => ({ kind, id, at_s: now_s }))
  const byKind = (a: { kind: string }, b: { kind: string }) => a.kind.localeCompare(b.kind)
  t.same([...entries].sort(byKind), expected.sort(byKind))
})

t.test('an unknown event is rejected, not ignored', async (t) => {
  const good = await eventOf({ kind: 'session', id: 'session-1', atMs })
  const changes: Record<string, unknown>[] = [
    { iss: 'https://other.test' },
    { iss: [issuer] },
    { iat: `${now_s}` },
    { jti: '' },
    { jti: 7 },
    { jti: 'a\nb' },
    { jti: ' 7' },
    { jti: '7\x7f' },
    { jti: '7é' },
    { jti: 'x'.repeat(129) },
    { previous: undefined },
    { kept_s: undefined },
    { kept_s: -1 },
    { events: {} },
    { events: { 'urn:other': { event_timestamp: now_s } } },
    { events: { [caep]: { event_timestamp: now_s }, 'urn:other': {} } },
    { events: { [caep]: {} } },
    { events: { [caep]: { event_timestamp: -1 } } },
    { events: { [caep]: { event_timestamp: 1e300 } } },
    { events: { [caep]: { event_timestamp: 253_402_300_800 } } },
    { events: [] },
    { sub_id: undefined },
    { sub_id: 'session-1' },
    { sub_id: { format: 'opaque', id: 'session-1' } },
    { sub_id: { format: 'complex', session: { format: 'opaque', id: '' } } },
    { sub_id: { format: 'complex', session: { format: 'opaque', id: 'x'.repeat(513) } } },
    { sub_id: { format: 'complex', session: { format: 'opaque', id: 'a' }, device: {} } },
    { sub_id: { format: 'complex', session: { format: 'email', id: 'a' } } },
    { sub_id: { format: 'simple', session: { format: 'opaque', id: 'a' } } },
    { sub_id: { format: 'complex', tenant: { format: 'uri', uri: 'https://other.test' } } },
    { sub_id: { format: 'complex', tenant: { format: 'opaque', uri: issuer } } },
    { sub_id: { format: 'iss_sub', iss: 'https://other.test', sub: 'user-1' } },
    { sub_id: { format: 'iss_sub', iss: issuer, sub: '' } },
    { sub_id: { format: 'iss_sub', iss: issuer, sub: 'user-1', device: {} } },
  ]
  for (const change of changes) {
    const text = bytes({ ...good, ...change })
    t.throws(() => readRevocationEvent(text, issuer), Error, JSON.stringify(change))
  }
  const ofKey = await eventOf({ kind: 'key', id: 'key-1', atMs })
  for (const sub_id of [
    { format: 'opaque', id: '' },
    { format: 'uri', id: 'key-1' },
    { format: 'opaque', id: 'key-1', device: {} },
    good.sub_id,
  ]) {
    t.throws(() => readRevocationEvent(bytes({ ...ofKey, sub_id }), issuer), /sub_id/)
  }
  t.ok(readRevocationEvent(bytes({ ...good, txn: 'another claim' }), issuer))
  t.throws(() => readRevocationEvent(bytes([good]), issuer), /not a JSON object/)
  const twice = JSON.stringify(good).replace('{', '{"iss":"x",')
  t.throws(() => readRevocationEvent(Buffer.from(twice), issuer), /not a JSON object/)
})

t.test('an unknown snapshot is rejected', async (t) => {
  const good = {
    iss: issuer,
    iat: now_s,
    read_at: now_s,
    kept_s: 305,
    position: '4',
    sessions: { a: now_s },
    users: {},
    keys: {},
    all: null,
  }
  t.ok(readRevocationSnapshot(bytes(good), issuer))
  const changes: Record<string, unknown>[] = [
    { iss: 'https://other.test' },
    { devices: { a: now_s } },
    { iat: undefined },
    { read_at: undefined },
    { kept_s: -1 },
    { position: null },
    { position: 'a b' },
    { sessions: undefined },
    { users: [] },
    { users: { '': now_s } },
    { keys: { a: `${now_s}` } },
    { all: undefined },
    { all: 'now' },
  ]
  for (const change of changes) {
    const text = bytes({ ...good, ...change })
    t.throws(() => readRevocationSnapshot(text, issuer), Error, Object.keys(change).join())
  }
})
