import { createHash } from 'node:crypto'
import t from 'tap'
import {
  eventsBetween,
  type KeySnapshot,
  type LoadedKey,
  snapshotAt,
} from '../../src/keys/key-manager.ts'
import { importPrivateKey, publicJwkOf } from '../../src/keys/key-record.ts'
import { keyInfo } from '../../src/keys/lifecycle.ts'
import { newRecord, policy, startMs } from './support.ts'

const records = await Promise.all([
  newRecord({ activateAtMs: startMs }),
  newRecord({ activateAtMs: startMs + 10_000, name: 'epoch-2-Ed25519' }),
])
const keys = records.map((record) => ({
  ...keyInfo(record),
  key: importPrivateKey(record),
  publicJwk: publicJwkOf(record),
}))
const [first, second] = keys as [LoadedKey, LoadedKey]
const at = (timeMs: number, before: KeySnapshot | null = null) =>
  snapshotAt(keys, policy, timeMs, before)

t.test('all keys but the removed ones are published, sorted by activation', async (t) => {
  const kids = (snapshot: KeySnapshot) => snapshot.publicKeys.map(({ kid }) => kid)
  t.strictSame(kids(at(startMs)), [first.kid, second.kid], 'active, pending')
  t.strictSame(kids(at(startMs + 10_000)), [first.kid, second.kid], 'retiring, active')
  t.strictSame(kids(at(startMs + 13_500)), [second.kid], 'removed, active')
})

t.test('the JWKS has the public keys, and its ETag depends on its content', async (t) => {
  const { jwks, publicKeys } = at(startMs)
  t.strictSame(JSON.parse(jwks.body), { keys: publicKeys })
  t.equal(jwks.etag, `"${createHash('sha256').update(jwks.body).digest('base64url')}"`)
  t.equal(jwks.maxAgeSeconds, 1)
  t.equal(at(startMs + 10_000).jwks.etag, jwks.etag, 'the same keys, the same tag')
  t.not(at(startMs + 13_500).jwks.etag, jwks.etag)
})

t.test('the JWKS is the same object while it has the same keys', async (t) => {
  const snapshot = at(startMs)
  const later = at(startMs + 10_000, snapshot)
  t.equal(later.jwks, snapshot.jwks)
  t.equal(later.publicKeys, snapshot.publicKeys)
  t.not(at(startMs + 13_500, later).jwks, snapshot.jwks)
})

t.test('a snapshot has the interval in which it is valid', async (t) => {
  const { fromMs, untilMs, signing } = at(startMs + 12_000)
  t.strictSame({ fromMs, untilMs }, { fromMs: startMs + 10_000, untilMs: startMs + 13_500 })
  t.equal(signing?.kid, second.kid)
  t.equal(snapshotAt([], policy, startMs, null).signing, null)
})

t.test('events list the changes between two snapshots', async (t) => {
  const empty = snapshotAt([], policy, startMs, null)
  t.strictSame(eventsBetween(empty, at(startMs)), [{ name: 'key.activated', kid: first.kid }])
  t.strictSame(eventsBetween(at(startMs), at(startMs + 1)), [])
  t.strictSame(eventsBetween(at(startMs), at(startMs + 13_500)), [
    { name: 'key.activated', kid: second.kid },
    { name: 'key.removed', kid: first.kid },
  ])
})

t.test('a revoked key is unpublished immediately, with an event of its own', async (t) => {
  const revoked = [{ ...first, revokedAtMs: startMs + 5_000 }, second]
  const snapshot = snapshotAt(revoked, policy, startMs + 5_000, at(startMs))
  t.strictSame(snapshot.publicKeys, [second.publicJwk])
  t.equal(snapshot.signing?.kid, second.kid)
  t.strictSame(eventsBetween(at(startMs), snapshot), [
    { name: 'key.activated', kid: second.kid },
    { name: 'key.revoked', kid: first.kid },
  ])
  const last = snapshotAt([{ ...first, revokedAtMs: startMs }], policy, startMs, snapshot)
  t.equal(last.signing, null, 'it never signs, even if there is no other key')
  t.strictSame(last.publicKeys, [])
})
