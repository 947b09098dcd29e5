import { ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { memoryUsage } from 'node:process'
import { mock } from 'node:test'
import { setImmediate as untilNextTurn } from 'node:timers/promises'
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import t, { type Test } from 'tap'
import { randomId } from '../../src/core/secrets.ts'
import { SqliteSessionStore } from '../../src/stores/sqlite/session-store.ts'
import { collectGarbage } from '../support/garbage.ts'
import { bearer, issuerUrl, startIssuer, type TestIssuer } from '../support/issuer.ts'
import { policy } from '../support/sessions.ts'

const caepEvent = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked'

/** The payload of a text that this issuer has signed as this kind. */
async function signedBy(issuer: TestIssuer, text: string, typ: string) {
  const jwks = createLocalJWKSet(JSON.parse(issuer.keys.jwks().body))
  const { payload } = await jwtVerify(text, jwks, {
    issuer: issuerUrl,
    typ,
    currentDate: new Date(issuer.clock.nowMs()),
  })
  return payload
}

async function snapshot(issuer: TestIssuer) {
  await issuer.revocations.refresh()
  const response = await issuer.call({ url: '/revocations' })
  return signedBy(issuer, response.body, 'gatepass-revocations+jwt')
}

/** Follows the stream as a verifier would; `next()` gives one event after the other. */
async function follow(t: Test, issuer: TestIssuer, lastEventId?: string) {
  const { url } = await issuer.listen()
  const aborter = new AbortController()
  t.teardown(() => aborter.abort())
  const response = await fetch(`${url}/revocations/stream`, {
    signal: aborter.signal,
    headers: lastEventId === undefined ? {} : { 'last-event-id': lastEventId },
  })
  const reader = (response.body ?? new ReadableStream())
    .pipeThrough(new TextDecoderStream())
    .getReader()
  let text = ''
  return {
    response,
    stop: () => aborter.abort(),
    /** Resolves with all that came before the first heartbeat. */
    async untilHeartbeat(): Promise<string> {
      while (!/^:$/m.test(text)) {
        const { value, done } = await reader.read()
        if (done) throw new Error('the stream has ended')
        text += value
      }
      return text.slice(0, text.search(/^:$/m))
    },
    async next(): Promise<{ id: string; token: string } | null> {
      for (;;) {
        const event = /id: (.*)\nevent: revocation\ndata: (.*)\n\n/.exec(text)
        if (event !== null) {
          text = text.slice(event.index + event[0].length)
          return { id: event[1] ?? '', token: event[2] ?? '' }
        }
        const { value, done } = await reader.read()
        if (done) return null
        text += value
      }
    },
  }
}

t.test('the snapshot contains sessions, users and all, each with its time', async (t) => {
  const issuer = await startIssuer(t)
  const empty = { position: '', sessions: {}, users: {}, keys: {}, all: null }
  const { iss, iat, read_at, kept_s, ...entries } = await snapshot(issuer)
  t.equal(iss, issuerUrl)
  t.same(entries, empty)
  const { refresh_token, session_id } = await issuer.signIn()
  await issuer.call({ method: 'POST', url: '/logout', body: { refresh_token } })
  const { access_token } = await issuer.signIn()
  await issuer.call({ method: 'POST', url: '/logout/all', headers: bearer(access_token) })
  await issuer.sessions.appendRevocation('all', '', issuer.clock.nowMs(), policy.revokedKeptMs)
  const now_s = Math.floor(issuer.clock.nowMs() / 1000)
  const { sub = '' } = (await issuer.accounts.findByLoginName('ada')) ?? {}
  t.match(await snapshot(issuer), {
    iat: now_s,
    position: /^4\./,
    sessions: { [session_id]: now_s },
    users: { [sub]: now_s },
    all: now_s,
  })
})

t.test('a stream begins with the log so far and a heartbeat', async (t) => {
  const issuer = await startIssuer(t)
  const { refresh_token } = await issuer.signIn()
  await issuer.call({ method: 'POST', url: '/logout', body: { refresh_token } })
  const stream = await follow(t, issuer)
  t.match(await stream.untilHeartbeat(), /^event: revocation$/m)
})

t.test(
  'a sign-in in the second of a sign-out everywhere gets a token that stays valid',
  async (t) => {
    const issuer = await startIssuer(t)
    const { access_token } = await issuer.signIn()
    await issuer.call({ method: 'POST', url: '/logout/all', headers: bearer(access_token) })
    const { users } = await snapshot(issuer)
    const [ended_s] = Object.values(users as Record<string, number>)
    const next = async () => decodeJwt((await issuer.signIn()).access_token)
    t.equal(ended_s, Math.floor(issuer.clock.nowMs() / 1000))
    const token = await next()
    t.equal(token.iat, Number(ended_s) + 1)
    t.equal(token.exp, Number(token.iat) + 300)
    issuer.clock.advance_s(1)
    t.equal((await next()).iat, Number(ended_s) + 1)
    issuer.clock.advance_s(20)
    t.equal((await next()).iat, Number(ended_s) + 21)
  },
)

t.test('a login right after a revocation by another replica gets a valid token', async (t) => {
  const issuer = await startIssuer(t)
  const other = new SqliteSessionStore(issuer.sessionsPath)
  t.teardown(() => other.close())
  const { sub = '' } = decodeJwt((await issuer.signIn()).access_token)
  // More than once, as this replica may happen to look at the log in between.
  for (let times = 0; times < 5; times++) {
    await other.revokeAll(sub, issuer.clock.nowMs(), policy.revokedKeptMs)
    const ended_s = Math.floor(issuer.clock.nowMs() / 1000)
    t.equal(decodeJwt((await issuer.signIn()).access_token).iat, ended_s + 1)
    issuer.clock.advance_s(2)
  }
})

t.test('the feed has the entry of a session before its sign-out is answered', async (t) => {
  const issuer = await startIssuer(t)
  const ends = {
    logout: async () => {
      const { refresh_token } = await issuer.signIn()
      return issuer.call({ method: 'POST', url: '/logout', body: { refresh_token } })
    },
    'logout/all': async () => {
      const { access_token } = await issuer.signIn()
      return issuer.call({ method: 'POST', url: '/logout/all', headers: bearer(access_token) })
    },
    sessions: async () => {
      const { access_token, session_id } = await issuer.signIn()
      const url = `/sessions/${session_id}` as const
      return issuer.call({ method: 'DELETE', url, headers: bearer(access_token) })
    },
  }
  for (const [name, end] of Object.entries(ends)) {
    // More than once, as the feed may happen to look at the log just then.
    for (let times = 0; times < 5; times++) {
      const before = issuer.revocations.entriesAfter().length
      t.equal((await end()).statusCode, 204)
      t.ok(issuer.revocations.entriesAfter().length > before, name)
    }
  }
})

t.test('the snapshot is revalidated by ETag and drops expired entries', async (t) => {
  const issuer = await startIssuer(t)
  const { refresh_token } = await issuer.signIn()
  await issuer.call({ method: 'POST', url: '/logout', body: { refresh_token } })
  await issuer.revocations.refresh()
  const first = await issuer.call({ url: '/revocations' })
  t.equal(first.headers['cache-control'], 'public, max-age=1')
  const headers = { 'if-none-match': String(first.headers.etag) }
  const again = () => issuer.call({ url: '/revocations', headers })
  const { revocations } = issuer
  const entriesRead = t.capture(revocations, 'entriesAfter', revocations.entriesAfter)
  issuer.clock.advance_s(1)
  t.equal((await again()).statusCode, 304)
  t.same(entriesRead(), [], 'no snapshot is made for a client that has it')
  issuer.clock.advanceMs(policy.revokedKeptMs)
  t.same((await snapshot(issuer)).sessions, {})

  t.comment('a cache must not keep a copy whose signing key has left the JWKS')
  t.equal((await again()).statusCode, 304)
  t.match(first.headers.etag, /^W\//, 'each second has another text')
  const { kid } = issuer.keys.signingKey()
  while (issuer.keys.jwks().body.includes(kid)) {
    issuer.clock.advance_s(86_400)
    await issuer.keys.refresh()
  }
  t.equal((await again()).statusCode, 200)
})

t.test('I7: readers that do not read a snapshot share its bytes', async (t) => {
  const issuer = await startIssuer(t)
  const { url } = await issuer.listen()
  const ends = t.capture(ServerResponse.prototype, 'end', ServerResponse.prototype.end)
  for (let reader = 0; reader < 2; reader += 1) await fetch(`${url}/revocations`)
  const [first, second] = ends().map(({ args: [body] }) => body as unknown)
  t.ok(Buffer.isBuffer(first), 'Node copies a text for each connection')
  t.equal(second, first)
})

t.test('I7: a reader that has not read a snapshot after a minute is disconnected', async (t) => {
  const issuer = await startIssuer(t)
  const atMs = issuer.clock.nowMs()
  const entries = Array.from({ length: 500_000 }, (_, n) => ({ kind: 'session', id: `${n}`, atMs }))
  // Larger than the buffers of the system.
  issuer.revocations.entriesAfter = () => entries as never
  const { port } = await issuer.listen()
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const responses: ServerResponse[] = []
  issuer.app.server.on('request', (_request, response) => responses.push(response))
  const reader = connect(port, '127.0.0.1').pause()
  t.teardown(() => reader.destroy())
  reader.write('GET /revocations HTTP/1.1\r\nHost: localhost\r\n\r\n')
  while (!responses[0]?.headersSent) await untilNextTurn()
  mock.timers.tick(59_999)
  t.equal(responses[0]?.destroyed, false)
  mock.timers.tick(1)
  t.equal(responses[0]?.destroyed, true)
})

t.test('the stream sends a reuse as a signed CAEP event', async (t) => {
  const issuer = await startIssuer(t, { allowedOrigins: ['https://app.example.com'] })
  const stream = await follow(t, issuer)
  t.match(Object.fromEntries(stream.response.headers), {
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    connection: 'close', // RFC 9112 §9.6
    'x-content-type-options': 'nosniff',
    'access-control-allow-credentials': 'true',
  })
  const { refresh_token, session_id } = await issuer.signIn()
  issuer.clock.advance_s(10)
  await issuer.refresh(refresh_token)
  issuer.clock.advance_s(10)
  t.match((await issuer.refresh(refresh_token)).json(), { code: 'refresh_token_reused' })
  const event = await stream.next()
  t.equal(decodeProtectedHeader(event?.token ?? '').typ, 'secevent+jwt')
  t.match(await signedBy(issuer, event?.token ?? '', 'secevent+jwt'), {
    jti: event?.id,
    sub_id: { format: 'complex', session: { format: 'opaque', id: session_id } },
    events: { [caepEvent]: { event_timestamp: Math.floor(issuer.clock.nowMs() / 1000) } },
  })
})

t.test('a reconnecting follower resumes, a new one gets all current entries', async (t) => {
  const issuer = await startIssuer(t)
  for (const sub of ['a', 'b', 'c']) {
    await issuer.sessions.revokeAll(sub, issuer.clock.nowMs(), policy.revokedKeptMs)
  }
  await issuer.revocations.refresh()
  const ids = async (lastEventId: string | undefined, count: number) => {
    const stream = await follow(t, issuer, lastEventId)
    const seen = []
    for (let n = 0; n < count; n++) seen.push((await stream.next())?.id ?? '')
    stream.stop()
    return seen
  }
  const all = await ids(undefined, 3)
  t.match(all, [/^1\./, /^2\./, /^3\./])
  t.same(await ids(all[0], 2), all.slice(1))
  t.same(await ids('of another store', 3), all)
  t.same(await ids('1.AAAAAAAA', 3), all, 'the same number in a log that was lost')
})

t.test('a follower that misses many entries gets the newest, and sees a gap', async (t) => {
  const issuer = await startIssuer(t)
  const count = 3_000
  const kept = [issuer.clock.nowMs(), policy.revokedKeptMs] as const
  await Promise.all(
    Array.from({ length: count }, (_, n) =>
      issuer.sessions.appendRevocation('session', `session-${n}`, ...kept),
    ),
  )
  await issuer.revocations.refreshNow()
  const entries = issuer.revocations.entriesAfter()
  for (const position of [undefined, entries[0]?.position]) {
    const text = await (await follow(t, issuer, position)).untilHeartbeat()
    const ids = Array.from(text.matchAll(/^id: (.*)$/gm), ([, id]) => id)
    t.strictSame(
      ids,
      entries.slice(-250).map((entry) => entry.position),
    )
  }
})

t.test('many revocations at once do not block the event loop', async (t) => {
  const issuer = await startIssuer(t)
  const { keys, clock, sessions, revocations } = issuer
  const signingKey = keys.signingKey.bind(keys)
  const signed = [0]
  keys.signingKey = () => {
    signed[signed.length - 1] = (signed.at(-1) ?? 0) + 1
    return signingKey()
  }
  const nextTurn = () => {
    signed.push(0)
    turn = setImmediate(nextTurn)
  }
  let turn = setImmediate(nextTurn)
  t.teardown(() => clearImmediate(turn))
  const revoke = async (count: number) => {
    const kept = [clock.nowMs(), policy.revokedKeptMs] as const
    await Promise.all(
      Array.from({ length: count }, () =>
        sessions.appendRevocation('session', randomId(), ...kept),
      ),
    )
    await revocations.refreshNow()
  }
  await revoke(500)
  t.equal(Math.max(...signed), 0, 'without a follower, no event is signed')
  const stream = await follow(t, issuer, revocations.position)
  await stream.untilHeartbeat()
  await revoke(500)
  const ids = []
  while (ids.length < 500) ids.push((await stream.next())?.id)
  t.strictSame(
    ids,
    revocations
      .entriesAfter()
      .slice(-500)
      .map(({ position }) => position),
  )
  const most = Math.max(...signed)
  t.ok(most > 0 && most <= 25, `in one turn at most ${most} events are signed`)
})

t.test('an issuer keeps the texts of the newest events only', async (t) => {
  const issuer = await startIssuer(t, { algorithm: 'ML-DSA-44' })
  const { clock, sessions, revocations } = issuer
  const stream = await follow(t, issuer)
  await stream.untilHeartbeat()
  const revoke = async (count: number) => {
    const kept = [clock.nowMs(), policy.revokedKeptMs] as const
    for (let n = 0; n < count; n += 100) {
      const ids = Array.from({ length: 100 }, randomId)
      await Promise.all(ids.map((id) => sessions.appendRevocation('session', id, ...kept)))
      await revocations.refreshNow()
    }
    while ((await stream.next())?.id !== revocations.position);
    collectGarbage()
    return memoryUsage().heapUsed
  }
  const before = await revoke(600)
  const grown = (await revoke(2_000)) - before
  t.ok(grown < 4 * 1024 ** 2, `2,000 events of 5 KB each take ${grown} bytes`)
})

t.test('revocations of one replica reach the stream of another, in order', async (t) => {
  const issuer = await startIssuer(t)
  const stream = await follow(t, issuer)
  const { SqliteSessionStore } = await import('../../src/stores/sqlite/session-store.ts')
  const other = new SqliteSessionStore(issuer.sessionsPath)
  t.teardown(() => other.close())
  const startedMs = performance.now()
  for (let n = 0; n < 20; n++)
    await other.revokeAll(`user-${n}`, issuer.clock.nowMs(), policy.revokedKeptMs)
  const seen = []
  for (let n = 0; n < 20; n++) seen.push(Number.parseInt((await stream.next())?.id ?? '', 10))
  t.same(
    seen,
    Array.from({ length: 20 }, (_, n) => n + 1),
  )
  t.comment(`told within ${Math.round(performance.now() - startedMs)} ms`)
})

t.test('followers that join while events are sent get each event once, in order', async (t) => {
  const issuer = await startIssuer(t)
  const revoke = async () => {
    await issuer.sessions.revokeAll('user-1', issuer.clock.nowMs(), policy.revokedKeptMs)
    await issuer.revocations.refreshNow()
  }
  // More than are written to in one turn of the event loop.
  const followers = [await follow(t, issuer)]
  followers.push(...(await Promise.all(Array.from({ length: 299 }, () => follow(t, issuer)))))
  for (let round = 0; round < 10; round++) {
    const [, ...joined] = await Promise.all([
      revoke(),
      ...Array.from({ length: 10 }, () => follow(t, issuer)),
    ])
    followers.push(...joined)
  }
  for (const follower of followers) {
    const ids = []
    while (ids.length < 10) ids.push(Number.parseInt((await follower.next())?.id ?? '', 10))
    t.strictSame(ids, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  }
})

t.test('an open stream does not delay the shutdown', async (t) => {
  const issuer = await startIssuer(t)
  const stream = await follow(t, issuer)
  await issuer.app.close()
  t.equal(await stream.next(), null)
})

t.test('streams are limited per address', async (t) => {
  const issuer = await startIssuer(t)
  await follow(t, issuer)
  const more = await Promise.all(Array.from({ length: 499 }, () => follow(t, issuer)))
  t.ok(more.every(({ response }) => response.status === 200))
  const { response } = await follow(t, issuer)
  t.equal(response.status, 503)
  t.equal(response.headers.get('retry-after'), '5')
  t.match(response.headers.get('content-type'), 'application/problem+json')
})

t.test('while the log is unavailable no response claims that nothing is new', async (t) => {
  const issuer = await startIssuer(t)
  const { read_at } = await snapshot(issuer)
  t.equal(read_at, Math.floor(issuer.clock.nowMs() / 1000))
  const { headers } = await issuer.call({ url: '/revocations' })
  await issuer.sessions.close()
  issuer.clock.advance_s(10)
  await issuer.revocations.refresh()
  const response = await issuer.call({
    url: '/revocations',
    headers: { 'if-none-match': String(headers.etag) },
  })
  t.equal(response.statusCode, 200)
  t.match(await signedBy(issuer, response.body, 'gatepass-revocations+jwt'), {
    iat: Number(read_at) + 10,
    read_at,
  })
  const stream = await follow(t, issuer)
  const ended = t.rejects(stream.untilHeartbeat(), { message: 'the stream has ended' })
  await issuer.app.close()
  await ended
})

t.test('an issuer that has stood still does not claim that nothing is new', async (t) => {
  const issuer = await startIssuer(t)
  const { headers } = await issuer.call({ url: '/revocations' })
  const known = { 'if-none-match': String(headers.etag) }
  t.equal((await issuer.call({ url: '/revocations', headers: known })).statusCode, 304)
  const answer = Promise.withResolvers<[]>()
  issuer.sessions.revocationsAfter = () => answer.promise
  issuer.clock.advance_s(10)
  t.equal((await issuer.call({ url: '/revocations', headers: known })).statusCode, 200)
  const stream = await follow(t, issuer)
  const ended = t.rejects(stream.untilHeartbeat(), { message: 'the stream has ended' })
  await issuer.app.close()
  await ended
  answer.resolve([])
})
