import type { InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import { RedisSessionStore } from '../../src/stores/redis/session-store.ts'
import { bearer, claimsOf, password, startIssuer } from '../support/issuer.ts'
import { type RedisServer, startCluster, untilReplicated } from '../support/redis.ts'
import { until } from '../support/until.ts'

/** Sign-outs that no replica can confirm, and their retries. */

const cookieName = '__Host-gatepass'

/** An issuer whose replicas fall silent: those that have the log, or those that have the sessions. */
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
  const sessionsAreIn = (logIsIn + 1) % 3
  const silentIn = silent === 'log' ? logIsIn : sessionsAreIn
  const [primary, replica] = [nodes[silentIn], nodes[silentIn + 3]] as [RedisServer, RedisServer]
  return {
    ...issuer,
    /** A new user with one session, which is on another server than the log. */
    async signInAs(name: string): Promise<Tokens> {
      for (let n = 0; ; n++) {
        const username = `${name} ${n}`
        await issuer.users.add({ loginName: username, password, attributes: {} })
        // A login may fail on a loaded machine.
        const tokens = await issuer.signIn({ username })
        const { session_id: sid } = tokens
        if (sid !== undefined && (await third(`gp:s:${sid}`)) === sessionsAreIn) return tokens
      }
    },
    freeze: () => replica.freeze(),
    async thaw() {
      replica.thaw()
      await untilReplicated(primary, 1)
    },
  }
}

const signOuts: Readonly<Record<string, (tokens: Tokens) => InjectOptions>> = {
  '/logout by cookie': cookieSignOut,
  '/logout by token': ({ access_token }) => byToken('POST', '/logout', access_token),
  '/logout/all': ({ access_token }) => byToken('POST', '/logout/all', access_token),
  'DELETE /sessions': ({ access_token, session_id }) =>
    byToken('DELETE', `/sessions/${session_id}`, access_token),
}

for (const silent of ['log', 'session'] as const) {
  t.test(`a sign-out is 503 until replicas have the ${silent}, and then 204`, async (t) => {
    const issuer = await start(t, silent)
    const calls: { name: string; tokens: Tokens; request: InjectOptions }[] = []
    for (const [name, requestOf] of Object.entries(signOuts)) {
      const tokens = await issuer.signInAs(name)
      calls.push({ name, tokens, request: requestOf(tokens) })
    }
    issuer.freeze()
    for (let again = 0; again < 2; again++) {
      const unconfirmed = await Promise.all(calls.map(({ request }) => issuer.call(request)))
      for (const [n, { name }] of calls.entries()) {
        t.match(unconfirmed[n]?.json(), { status: 503, code: 'store_unavailable' }, name)
        t.equal(unconfirmed[n]?.headers['retry-after'], '1')
        t.same(unconfirmed[n]?.cookies, [], 'the cookie is kept for the retry')
      }
    }
    await issuer.thaw()
    for (const { name, tokens, request } of calls) {
      t.equal((await inTime(() => issuer.call(request))).statusCode, 204, name)
      const refreshed = await inTime(() => issuer.refresh(tokens.refresh_token))
      t.match(refreshed.json(), { code: 'refresh_token_revoked' })
      const me = await issuer.call(byToken('GET', '/me', tokens.access_token))
      t.match(me.json(), { code: 'token_revoked' })
      const { sub, sid } = claimsOf(tokens.access_token)
      const events = issuer
        .audit()
        .filter((line) => (line.sub === sub || line.sid === sid) && isSignOut(line.event))
      t.equal(events.length, 1, name)
    }
  })
}

/** The response of a store that has met its deadline, which a busy machine may miss. */
async function inTime<T extends { readonly statusCode: number }>(
  send: () => Promise<T>,
): Promise<T> {
  let response = await send()
  await until('the store responds in time', async () => {
    if (response.statusCode === 503) response = await send()
    return response.statusCode !== 503
  })
  return response
}

const isSignOut = (event: unknown) => /logout|session\.revoked/.test(String(event))

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
