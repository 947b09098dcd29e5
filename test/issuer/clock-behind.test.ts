import t, { type Test } from 'tap'
import { randomId } from '../../src/core/secrets.ts'
import type { Session, SessionStore } from '../../src/stores/ports.ts'
import { PostgresSessionStore } from '../../src/stores/postgres/session-store.ts'
import { RedisSessionStore } from '../../src/stores/redis/session-store.ts'
import { RefreshTokenCodec } from '../../src/tokens/refresh-token.ts'
import { signAccessToken } from '../../src/tokens/signing.ts'
import { createVerifier } from '../../src/verifier/verifier.ts'
import { account } from '../support/accounts.ts'
import { audience, bearer, issuerUrl, secret, startIssuer } from '../support/issuer.ts'
import { patient } from '../support/patience.ts'
import { PostgresServer } from '../support/postgres.ts'
import { startRedis } from '../support/redis.ts'
import { policy, session } from '../support/sessions.ts'
import { until } from '../support/until.ts'
import { answerOf } from '../verifier/harness.ts'

const hourMs = 3_600_000

/**
 * An issuer whose clock is an hour off, on a store that another issuer with a right clock shares, and
 * verifiers that follow the first one.
 */
async function setUp(t: Test, store: SessionStore, offMs: number) {
  const startMs = Date.now() + offMs
  const issuer = await startIssuer(t, { sessions: store, startMs, monitorClock: true })
  const { url } = await issuer.listen()
  const codec = new RefreshTokenCodec([secret])

  const startVerifier = async (stream: boolean) => {
    const verifier = createVerifier({
      issuer: issuerUrl,
      audience,
      jwksUri: `${url}/.well-known/jwks.json`,
      revocations: { stream, pollIntervalSeconds: 1 },
    })
    t.teardown(() => verifier.close())
    await verifier.ready()
    return verifier
  }

  const accessToken = (one: Session, atMs: number) => {
    const iat = Math.floor(atMs / 1000)
    const { sid, sub, clientId: client_id, scope } = one
    const claims = { iss: issuerUrl, aud: audience, sub, sid, client_id, scope, jti: randomId() }
    return signAccessToken({ ...claims, iat, exp: iat + 300 }, issuer.keys.signingKey())
  }

  return {
    issuer,
    startVerifier,
    /** A session that the other issuer has begun and refreshed, long ago and a moment ago. */
    async begin(sub: string) {
      const nowMs = Date.now()
      const times = { createdAtMs: nowMs - 3 * hourMs, mintedAtMs: nowMs - 2 * hourMs }
      const ends = { endsAtMs: nowMs + 24 * hourMs, expiresAtMs: nowMs + 24 * hourMs }
      const one = session({ sid: randomId(), sub, generation: 3, ...times, ...ends })
      await store.create(one)
      if ((await issuer.accounts.findBySub(sub)) === null) {
        await issuer.accounts.create([account({ sub, loginName: sub })])
      }
      return {
        sid: one.sid,
        refreshToken: codec.mint(one),
        replacedToken: codec.mint({ ...one, generation: 1 }),
        token: await accessToken(one, nowMs),
        /** Good by the clock that is off. */
        tokenThere: await accessToken(one, issuer.clock.nowMs()),
      }
    },
  }
}

const postgres = await PostgresServer.start(t)
const redis = await startRedis(t)
const stores: Record<string, () => Promise<SessionStore>> = {
  Postgres: async () => PostgresSessionStore.open(await postgres.createDatabase(), patient),
  Redis: async () => {
    await redis.ask('FLUSHALL')
    return RedisSessionStore.open(redis.url, patient)
  },
}

for (const [name, open] of Object.entries(stores)) {
  t.test(
    `${name}: what an issuer ends whose clock is an hour behind, verifiers refuse`,
    async (t) => {
      const { issuer, begin, startVerifier } = await setUp(t, await open(), -hourMs)
      await t.rejects(async () => issuer.clockMonitor?.check(), { code: 'clock_skew' })
      const ada = (await issuer.accounts.findByLoginName('ada'))?.sub ?? ''
      const { call } = issuer
      type Begun = Awaited<ReturnType<typeof begin>>
      const ways: Record<string, (one: Begun) => Promise<unknown>> = {
        'POST /logout': async ({ refreshToken: refresh_token }) => {
          const answer = await call({ method: 'POST', url: '/logout', body: { refresh_token } })
          t.equal(answer.statusCode, 204)
        },
        'DELETE /sessions/{id}': async ({ sid, tokenThere }) => {
          const headers = bearer(tokenThere)
          const answer = await call({ method: 'DELETE', url: `/sessions/${sid}`, headers })
          t.equal(answer.statusCode, 204)
        },
        'POST /logout/all': async ({ tokenThere }) => {
          const headers = bearer(tokenThere)
          t.equal((await call({ method: 'POST', url: '/logout/all', headers })).statusCode, 204)
        },
        'reuse detection': async ({ replacedToken }) => {
          t.match((await issuer.refresh(replacedToken)).json(), { code: 'refresh_token_reused' })
        },
        'users disable': () => issuer.users.disable('ada'),
      }
      const verifier = await startVerifier(true)
      const other = await begin('nobody else')
      const ended: string[] = []
      for (const [way, end] of Object.entries(ways)) {
        const one = await begin(way === 'users disable' ? ada : way)
        t.ok(await verifier.verify(one.token), way)
        await end(one)
        ended.push(one.token)
        await until(`${way} is heard of`, () => isRefused(verifier, one.token))
        t.ok(await verifier.verify(other.token), 'and nothing else ends')
      }
      const late = await startVerifier(false)
      for (const token of ended) t.ok(await isRefused(late, token), 'the snapshot has it too')

      const { kid } = issuer.keys.signingKey()
      await issuer.keys.revoke(kid)
      await issuer.sessions.appendRevocation('key', kid, issuer.clock.nowMs(), policy.revokedKeptMs)
      await until('keys revoke is heard of', async () => {
        const answer = await answerOf(() => verifier.verify(other.token))
        return answer === 'token_revoked' || answer === 'token_key_unknown'
      })
    },
  )

  t.test(`${name}: an issuer whose clock is an hour ahead acknowledges no sign-out`, async (t) => {
    const { issuer, begin, startVerifier } = await setUp(t, await open(), hourMs)
    const { call } = issuer
    const one = await begin('user-1')
    const headers = bearer(one.tokenThere)
    const refused = [
      await call({ method: 'POST', url: '/logout', body: { refresh_token: one.refreshToken } }),
      await call({ method: 'POST', url: '/logout/all', headers }),
      await call({ method: 'DELETE', url: `/sessions/${one.sid}`, headers }),
    ]
    for (const answer of refused) {
      t.equal(answer.statusCode, 503)
      t.equal(answer.headers['retry-after'], '5')
      t.match(answer.json(), { code: 'clock_skew' })
    }
    t.ok(await issuer.sessions.find(one.sid, Date.now()), 'the session goes on')
    t.same(await issuer.sessions.revocationsAfter('', 10), [])

    await issuer.sessions.revoke(one.sid, Date.now(), policy.revokedKeptMs)
    await issuer.revocations.refreshNow()
    t.ok(
      await isRefused(await startVerifier(false), one.token),
      'what the other issuer has ended it tells, late as it may seem',
    )
  })
}

async function isRefused(
  verifier: { verify(token: string): Promise<unknown> },
  token: string,
): Promise<boolean> {
  return (await answerOf(() => verifier.verify(token))) === 'token_revoked'
}
