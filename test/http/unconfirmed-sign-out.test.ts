import type { InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import { RedisSessionStore } from '../../src/stores/redis/session-store.ts'
import { bearer, startIssuer } from '../support/issuer.ts'
import { type RedisServer, startCluster } from '../support/redis.ts'

/** Sign-outs that no replica can confirm, and their retries. */

const cookieName = '__Host-gatepass'

/** An issuer whose replicas fall silent: those that have the log, or those that have the session. */
async function start(t: Test, silent: 'log' | 'session') {
  const { url, nodes } = await startCluster(t, { replicas: 1 })
  const issuer = await startIssuer(t, {
    sessions: await RedisSessionStore.open(url, { replicas: 1, deadlineMs: 2_000 }),
    // Redis removes what has expired by its own clock.
    startMs: Date.now(),
  })
  const third = async (key: string) =>
    Math.floor((3 * Number(await nodes[0]?.ask('CLUSTER', 'KEYSLOT', key))) / 16_384)
  const logIsIn = await third('gp:revocations')
  // The session must be on another server than the log. A login may fail on a loaded machine.
  let tokens = await issuer.signIn()
  while (
    tokens.session_id === undefined ||
    (await third(`gp:s:${tokens.session_id}`)) === logIsIn
  ) {
    tokens = await issuer.signIn()
  }
  const silentIn = silent === 'log' ? logIsIn : await third(`gp:s:${tokens.session_id}`)
  const [primary, replica] = [nodes[silentIn], nodes[silentIn + 3]] as [RedisServer, RedisServer]
  return {
    ...issuer,
    tokens,
    freeze: () => replica.freeze(),
    async thaw() {
      replica.thaw()
      t.equal(await primary.ask('WAIT', '1', '60000'), 1)
    },
  }
}

for (const silent of ['log', 'session'] as const) {
  for (const [name, requestOf] of [
    ['/logout by cookie', cookieSignOut],
    ['/logout by token', ({ access_token }) => byToken('POST', '/logout', access_token)],
    ['/logout/all', ({ access_token }) => byToken('POST', '/logout/all', access_token)],
    [
      'DELETE /sessions',
      ({ access_token, session_id }) => byToken('DELETE', `/sessions/${session_id}`, access_token),
    ],
  ] as [string, (tokens: Tokens) => InjectOptions][]) {
    t.test(`${name} is 503 until replicas have the ${silent}, and then 204`, async (t) => {
      const issuer = await start(t, silent)
      const request = requestOf(issuer.tokens)
      issuer.freeze()
      for (let again = 0; again < 2; again++) {
        const unconfirmed = await issuer.call(request)
        t.match(unconfirmed.json(), { status: 503, code: 'store_unavailable' })
        t.equal(unconfirmed.headers['retry-after'], '1')
        t.same(unconfirmed.cookies, [], 'the cookie is kept for the retry')
      }
      await issuer.thaw()
      t.equal((await issuer.call(request)).statusCode, 204)
      const refreshed = await issuer.refresh(issuer.tokens.refresh_token)
      t.match(refreshed.json(), { code: 'refresh_token_revoked' })
      const me = await issuer.call(byToken('GET', '/me', issuer.tokens.access_token))
      t.match(me.json(), { code: 'token_revoked' })
      const events = issuer
        .audit()
        .filter(({ event }) => /logout|session\.revoked/.test(String(event)))
      t.equal(events.length, 1)
    })
  }
}

interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
  readonly session_id: string
}

function cookieSignOut({ refresh_token }: Tokens): InjectOptions {
  return { method: 'POST', url: '/logout', cookies: { [cookieName]: refresh_token } }
}

function byToken(method: 'GET' | 'POST' | 'DELETE', url: string, token: string): InjectOptions {
  return { method, url, headers: bearer(token) }
}
