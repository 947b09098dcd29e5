import { decodeProtectedHeader } from 'jose'
import { createRefreshTokenCodec } from '../../../src/tokens/refresh-token.ts'
import { byRate } from '../harness/compare.ts'
import { isInMemory } from '../harness/machine.ts'
import type { Bench, Scenario } from '../harness/scenario.ts'
import { startServer } from '../harness/server.ts'
import { type ServedSubject, served } from '../harness/subjects.ts'
import { installPeers } from '../peers/install.ts'
import { startRedis } from '../stores/redis.ts'
import { createSigningKey, signToken } from './access-tokens.ts'
import { createAccountsOf } from './accounts.ts'
import { BetterAuth } from './better-auth.ts'
import { linesTraffic } from './guarded-traffic.ts'
import { IssuerService } from './issuer-service.ts'
import { issuerSubject } from './issuer-subject.ts'
import { checkRotation, handRolled, inJson, oidcProvider } from './rivals.ts'
import { fillRedis, fillSqlite, newSession } from './sessions.ts'
import { signingSpec } from './signing-route.ts'

const sessionCount = 8_192
const limit = 'signing route'
const onSqlite = 'gatepass on SQLite'
const onRedis = 'gatepass on Redis'
const byHand = 'hand-rolled with fast-jwt on Redis'
const oidc = 'oidc-provider in memory'
const betterAuth = 'better-auth, a JWT and no rotation, on SQLite'
const tokenPath = '/api/auth/token'

export const peersRefresh: Scenario = {
  name: 'peers-refresh',
  title: 'a new access token for a session, beside a route that only signs',
  packages: ['fast-jwt', 'oidc-provider', 'better-auth', 'fastify', '@redis/client'],
  async prepare(bench) {
    if (isInMemory(bench.scratch)) {
      throw new Error('a flush to memory costs nothing: set TMPDIR to a folder on a disk')
    }
    installPeers()
    await checkOurs(bench)
    const redis = await startRedis(bench)
    const subjects = [
      await issuerSubject({ name: onSqlite, settings: {}, sessionCount, fill: fillSqlite }, bench),
      await issuerSubject(
        {
          name: onRedis,
          settings: { GATEPASS_SESSIONS_URL: redis.url },
          sessionCount,
          fill: (sessions) => fillRedis(sessions, redis.url),
          store: redis,
        },
        bench,
      ),
      handRolled(byHand, redis, sessionCount),
      oidcProvider(oidc, sessionCount),
      betterAuthSubject(bench),
    ]
    return {
      subjects: [...subjects, await signingRoute()].map((one) => served(one, bench)),
      comparisons: [
        ...subjects.flatMap(({ name }) => byRate({ subject: name, limit })),
        ...byRate({ subject: onRedis, limit: byHand }),
        ...byRate({ subject: onSqlite, limit: oidc }),
        ...byRate({ subject: onSqlite, limit: betterAuth }),
      ],
    }
  },
}

/** What the rivals have to refuse we have to refuse as well: a token that was used, forged or expired. */
async function checkOurs(bench: Bench): Promise<void> {
  const issuer = await IssuerService.create(bench, { GATEPASS_GRACE_S: '0' }, 'checked')
  const session = newSession()
  const expired = { ...newSession(), expiresAtMs: Date.now() - 1 }
  await fillSqlite([session, expired], issuer.template)
  await createAccountsOf([session.sub, expired.sub], issuer.template)
  const codec = createRefreshTokenCodec([Buffer.from(issuer.secret)])
  const server = await startServer(issuer.spec(), bench)
  try {
    const url = `${server.url}/refresh`
    await checkRotation(url, inJson, 401, codec.mint(session))
    const late = await fetch(url, { method: 'POST', ...inJson(codec.mint(expired)) })
    if (late.status !== 401) throw new Error('we take a refresh token that has expired')
  } finally {
    await server.stop()
  }
}

/** Its sessions have one token that lasts; what it gives is a JWT for other services. */
function betterAuthSubject(bench: Bench): ServedSubject {
  const server = new BetterAuth(sessionCount, bench)
  const cookies = Array.from({ length: sessionCount }, (_, n) => server.cookieOf(n))
  const [first = '', ...others] = cookies
  return {
    name: betterAuth,
    server: () => server.spec(),
    async check(url) {
      const ask = (cookie: string) => fetch(`${url}${tokenPath}`, { headers: { cookie } })
      const { token } = (await (await ask(first)).json()) as { token: string }
      if (decodeProtectedHeader(token).alg !== 'ES256') throw new Error('it signs by other means')
      const forged = await ask(first.replace('initial-0-', 'initial-1-'))
      server.expire(0)
      const expired = await ask(first)
      if (`${[forged.status, expired.status]}` !== '401,401') {
        throw new Error('better-auth takes a session that is forged or expired')
      }
    },
    traffic: () => linesTraffic('sessions', 'Cookie: ', others, bench, tokenPath),
  }
}

async function signingRoute(): Promise<ServedSubject> {
  const { key } = await createSigningKey()
  const answer = JSON.stringify({ access_token: await signToken(key) })
  const body = JSON.stringify({ refresh_token: 'a'.repeat(90) })
  const headers = { 'content-type': 'application/json' }
  const requests = [{ method: 'POST', path: '/refresh', headers, body }]
  return {
    name: limit,
    server: () => signingSpec(answer),
    traffic: () => ({ kind: 'fixed', requests }),
  }
}
