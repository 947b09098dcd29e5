import { randomId } from '../../../src/core/secrets.ts'
import { byRate } from '../harness/compare.ts'
import type { Bench, Comparison, Scenario, Target } from '../harness/scenario.ts'
import { type ServedSubject, served } from '../harness/subjects.ts'
import { startRedis } from '../stores/redis.ts'
import { audience, createSigningKey, issuer, signTokens } from './access-tokens.ts'
import { bareSpec } from './bare-server.ts'
import { body, linesTraffic, smallCache_bytes, tokenCounts, trafficOf } from './guarded-traffic.ts'
import { startKeyServer } from './key-server.ts'
import { verifierSpec } from './verifier-service.ts'

const bare = 'bare route'
const raw = 'bare route that verifies'
const guarded = {
  one: 'guarded route, one token',
  some: 'guarded route, 2,048 tokens',
  many: 'guarded route, 100,000 tokens',
  new: 'guarded route, new tokens',
}
const service = { one: '/verify, one token', some: '/verify, 2,048 tokens' }
const rival = { one: '@fastify/jwt, one token', some: '@fastify/jwt, 2,048 tokens' }
const session = '@fastify/session on Redis'

export const verify: Scenario = {
  name: 'verify',
  title: 'a guarded route and the forward-auth service, beside a bare route and what others use',
  async prepare(bench) {
    const { key, jwks } = await createSigningKey()
    const keyServer = await startKeyServer(jwks)
    bench.defer(() => keyServer.close())
    const tokens = await signTokens(tokenCounts.many, key)
    const traffic = {
      one: trafficOf(tokens.slice(0, tokenCounts.one), bench),
      some: trafficOf(tokens.slice(0, tokenCounts.some), bench),
      many: trafficOf(tokens, bench),
    }
    const settings = [body, issuer, audience, JSON.stringify(jwks)]
    const guardedBy = (file: string, ...more: string[]) => ({
      name: file,
      module: new URL(`../servers/${file}`, import.meta.url),
      args: [...settings, ...more],
    })
    const ours = () => guardedBy('guarded.ts')
    const forgetful = () => guardedBy('guarded.ts', String(smallCache_bytes))
    const others = () => guardedBy('fastify-jwt.ts')
    const trust = { issuer, audience, jwksUrl: keyServer.jwksUrl }
    const forwardAuth = () => verifierSpec(trust)
    const subject = (name: string, server: ServedSubject['server'], sent: keyof typeof traffic) =>
      served({ name, server, traffic: () => traffic[sent] }, bench)
    return {
      subjects: [
        subject(bare, () => bareSpec(body), 'one'),
        subject(guarded.one, ours, 'one'),
        subject(guarded.some, ours, 'some'),
        subject(guarded.many, ours, 'many'),
        subject(guarded.new, forgetful, 'many'),
        // Next to each other: the machine is not as fast a minute later.
        subject(raw, () => guardedBy('verifying.ts'), 'many'),
        subject(service.one, forwardAuth, 'one'),
        subject(service.some, forwardAuth, 'some'),
        subject(rival.one, others, 'one'),
        subject(rival.some, others, 'some'),
        served(await sessionSubject(bench), bench),
      ],
      comparisons,
    }
  },
}

const comparisons: readonly Comparison[] = [
  ...besides(bare, [
    [guarded.one, { atLeast: 0.92 }],
    [guarded.some, { atLeast: 0.9 }],
    [guarded.many, { atLeast: 0.85 }],
    [service.one, { atLeast: 0.85 }],
    [service.some, { atLeast: 0.85 }],
  ]),
  ...besides(raw, [[guarded.new, { atLeast: 0.95 }]]),
  ...besides(rival.one, [[guarded.one, { atLeast: 1.3 }]]),
  ...besides(rival.some, [[guarded.some, { atLeast: 6 }]]),
  ...besides(session, [[guarded.one, { atLeast: 1.6 }]]),
]

function besides(
  limit: string,
  rows: readonly (readonly [subject: string, target: Target])[],
): Comparison[] {
  return rows.flatMap(([subject, target]) => byRate({ subject, limit, target }))
}

/** One session, signed in before the load. */
async function sessionSubject(bench: Bench): Promise<ServedSubject> {
  const redis = await startRedis(bench)
  const secret = randomId() + randomId()
  let cookie = ''
  return {
    name: session,
    server: () => ({
      name: session,
      module: new URL('../servers/fastify-session.ts', import.meta.url),
      args: [body, redis.url, secret],
    }),
    async check(url) {
      const login = await fetch(`${url}/login`)
      cookie = login.headers.get('set-cookie')?.split(';')[0] ?? ''
      if ((await fetch(url, { headers: { cookie } })).status !== 200) throw new Error('no session')
    },
    traffic: () => linesTraffic('cookie', 'Cookie: ', [cookie], bench),
    store: redis,
  }
}
