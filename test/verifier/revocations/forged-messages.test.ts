import t, { type Test } from 'tap'
import { securityEventType, snapshotType } from '../../../src/tokens/revocation-tokens.ts'
import { claimsWith, headerWith, makeKey, mint, now_s } from '../../support/tokens.ts'
import { until } from '../../support/until.ts'
import type { FeedServer } from './feed-server.ts'
import { openFollowing } from './harness.ts'

const thief = makeKey('ES256')

function replaced(text: string, part: RegExp, by: string): string {
  return text.replace(part, by)
}

t.test('an event that the issuer has not signed is ignored, and ends the stream', async (t) => {
  type One = Awaited<ReturnType<typeof openFollowing>>
  const times = { atMs: now_s * 1000, expiresAtMs: (now_s + 305) * 1000 }
  const entry = { kind: 'session', id: 'session-1', ...times } as const
  const forgeries: Record<string, [(one: One) => Promise<string> | string, RegExp]> = {
    'another signer': [
      ({ feed }) => feed.eventText({ ...entry, position: 'a1', previous: '' }, thief),
      /signature is not valid/,
    ],
    'an access token in place of an event': [
      ({ key }) => `id: a1\nevent: revocation\ndata: ${mint(key)}\n\n`,
      /typ is not secevent/,
    ],
    'an access token that calls itself an event': [
      ({ key }) => {
        const header = headerWith(key, { typ: securityEventType })
        const token = mint(key, { header, payload: claimsWith() })
        return `id: a1\nevent: revocation\ndata: ${token}\n\n`
      },
      /missing or invalid/,
    ],
    'another id': [
      async ({ feed }) => {
        const text = await feed.eventText({ ...entry, position: 'a1', previous: '' })
        return replaced(text, /^id: a1/, 'id: a2')
      },
      /id of another/,
    ],
    'another name': [
      async ({ feed }) => {
        const text = await feed.eventText({ ...entry, position: 'a1', previous: '' })
        return replaced(text, /^event: revocation/m, 'event: other')
      },
      /unknown name/,
    ],
    'no token': [() => 'id: a1\nevent: revocation\ndata: x\n\n', /not an acceptable JWS/],
    'empty data': [() => 'id: a1\nevent: revocation\ndata\n\n', /not an acceptable JWS/],
    'a line without end': [() => `data: ${'x'.repeat(20_000)}`, /longer than 16384 bytes/],
    'an event without end': [() => 'data: xxxxxxx\n'.repeat(3_000), /longer than 16384 bytes/],
  }
  t.jobs = Object.keys(forgeries).length
  for (const [what, [forge, error]] of Object.entries(forgeries)) {
    void t.test(what, { buffered: true }, async (t: Test) => {
      const one = await openFollowing(t)
      await one.untilState('streaming')
      // A single forged message ends the stream.
      one.feed.write(await forge(one))
      await one.untilError(error)
      t.equal(await one.answer(), 'accepted')
      t.equal(one.status().entries, 0)
      await one.feed.add('session', 'session-1')
      await until('the genuine event', async () => (await one.answer()) === 'token_revoked')
    })
  }
})

t.test('replayed events change nothing', async (t) => {
  const { feed, answer, status, untilState } = await openFollowing(t)
  await untilState('streaming')
  const entry = await feed.add('user', 'user-1', now_s)
  await feed.add('user', 'user-1', now_s + 2)
  await until('both', async () => (await answer({ iat: now_s + 2 })) === 'token_revoked')
  await feed.send(entry)
  await until('the stream ends', () => feed.streamsFrom.length > 1)
  await untilState('streaming')
  t.equal(await answer({ iat: now_s + 2 }), 'token_revoked', 'the later rule stands')
  t.equal(status().entries, 1)
})

t.test('a snapshot that the issuer has not signed is ignored', async (t) => {
  const entries = [{ kind: 'session', id: 'session-1', atMs: now_s * 1000 }] as const
  type Feed = Awaited<ReturnType<typeof openFollowing>>['feed']
  const forgeries: Record<string, [(feed: Feed) => Promise<string> | string, RegExp]> = {
    'another signer': [(feed) => feed.snapshotText(entries, thief), /signature is not valid/],
    'of another issuer': [
      (feed) => feed.snapshotText(entries, feed.key, 'https://other.test'),
      /iss is not the issuer/,
    ],
    'an access token': [(feed) => mint(feed.key), /typ is not gatepass-revocations/],
    'what calls itself one': [
      (feed) => mint(feed.key, { header: headerWith(feed.key, { typ: snapshotType }) }),
      /not understood/,
    ],
    'no token': [() => '{"sessions":{}}', /not an acceptable JWS/],
    'without end': [() => 'x'.repeat(33 * 1024 * 1024), /longer than 33554432 bytes/],
  }
  t.jobs = Object.keys(forgeries).length
  for (const [what, [forge, error]] of Object.entries(forgeries)) {
    void t.test(what, { buffered: true }, async (t: Test) => {
      const { feed, answer, status, untilError } = await openFollowing(t)
      feed.onSnapshot = async (_request, response) => response.end(await forge(feed))
      await untilError(error)
      t.match(status(), { state: 'down', isLoaded: false, entries: 0 })
      t.equal(await answer(), 'accepted')
      t.equal(await answer({}, feed.key, { failClosed: true }), 'revocations_stale')
    })
  }
})

t.test('a replayed snapshot removes no revocation and does not count as recent', async (t) => {
  const { feed, clock, answer, status, untilState } = await openFollowing(t, { stream: false })
  const old = await feed.snapshotText()
  await feed.add('session', 'session-1')
  await untilState('polling')
  t.equal(await answer(), 'token_revoked')
  clock.advance_s(100)
  const replays: FeedServer['onSnapshot'][] = [
    // An HTTP cache responds while the issuer is unavailable (RFC 9111 §4.2.4).
    ...['100', '100, 1', '99999999999'].map((age): FeedServer['onSnapshot'] => {
      return (_request, response) => response.writeHead(304, { age }).end()
    }),
    (_request, response) => response.end(old),
  ]
  for (const replay of replays) {
    feed.onSnapshot = replay
    const { snapshots } = feed
    await until('two polls', () => feed.snapshots >= snapshots + 2)
    t.equal(await answer(), 'token_revoked')
    t.ok(status().lagSeconds >= 90)
  }
})

t.test('a full list becomes coarser, and the status counts it', async (t) => {
  const { feed, answer, status, untilState } = await openFollowing(t, { maxEntries: 100 })
  for (let n = 0; n < 150; n++) await feed.add('session', `s${n}`, now_s - 150 + n, 'lost')
  await untilState('streaming')
  t.ok(status().entries <= 101)
  t.ok(status().coarsened > 0)
  for (const n of [0, 50, 149]) {
    t.equal(await answer({ sid: `s${n}`, iat: now_s - 150 + n }), 'token_revoked', `s${n}`)
  }
  t.equal(await answer({ iat: now_s }), 'accepted')
})
