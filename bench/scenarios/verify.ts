import { type Environment, type Server, startServer, startService } from '../harness/processes.ts'
import { installRivals } from '../harness/revision.ts'
import type { Bench, Scenario, Subject } from '../harness/scenario.ts'
import { serverSubject } from '../harness/subjects.ts'
import { newSecret } from '../issuer.ts'
import { startOnRedis } from '../stores.ts'
import {
  type Algorithm,
  bearer,
  checkSamples,
  createSamples,
  createSigner,
  headerTraffic,
  publishKeys,
} from '../tokens.ts'
import { signInByCookie } from './data.ts'

/** The tokens that the load sends. 4,096 tokens exceed the smallest possible cache. */
export const mixes = [
  { name: 'one', label: 'one token, repeated', count: 1 },
  { name: '2048', label: '2,048 tokens in turn', count: 2_048 },
  { name: 'new', label: 'tokens that are all new', count: 4_096 },
] as const

type Mix = (typeof mixes)[number]

/** The response of every route. */
const text = JSON.stringify({ orders: [] })
const bare = 'bare route, Fastify'
const bareExpress = 'bare route, Express'
const rawSignature = 'bare route that checks a signature'
const libraries = ['@fastify/jwt', 'fast-jwt', 'jose', 'jsonwebtoken', 'aws-jwt-verify']
const tuned = ['@fastify/jwt, tuned', 'fast-jwt, tuned']

export const verify: readonly Scenario[] = mixes.map((mix) => ({
  name: `verify-${mix.name}`,
  title: `a guarded route over HTTP, with ${mix.label}`,
  ours: (bench) => oursOf(mix, bench),
  rivals: (bench) => rivalsOf(mix, bench),
}))

async function oursOf(mix: Mix, bench: Bench): Promise<Subject[]> {
  const routes = await createRoutes(mix, 'ES256', bench)
  if (mix.name === 'new') {
    const byRs256 = await createRoutes(mix, 'RS256', bench)
    return [
      routes.fastify('guarded route', 'gatepass, nothing kept'),
      byRs256.fastify('guarded route, RS256', 'gatepass, nothing kept'),
    ]
  }
  return [
    routes.fastify('guarded route', 'gatepass'),
    routes.service('/verify'),
    ...(mix.name === 'one' ? [routes.express('guarded route, Express', 'gatepass')] : []),
  ]
}

async function rivalsOf(mix: Mix, bench: Bench): Promise<Subject[]> {
  installRivals()
  const routes = await createRoutes(mix, 'ES256', bench)
  const onFastify = mix.name === 'new' ? libraries : [...libraries, ...tuned]
  return [
    ...onFastify.map((guard) => routes.fastify(guard, guard)),
    routes.express('express-oauth2-jwt-bearer, Express', 'express-oauth2-jwt-bearer'),
    ...(mix.name === 'one' ? [redisSession(bench)] : []),
    ...routes.unguarded(),
  ]
}

/** Creates subjects that accept the tokens of one signer. */
export async function createRoutes({ name: mix, count }: Mix, alg: Algorithm, bench: Bench) {
  const limit = mix === 'new' && alg === 'ES256' ? rawSignature : bare
  const signer = await createSigner(alg)
  const samples = await createSamples(signer)
  const requests = headerTraffic((await signer.signMany(count)).map(bearer))
  const traffic = () => requests
  const { issuer, audience } = signer.trust
  const jwksUrl = await publishKeys(signer.trust)
  const guarded = (name: string, start: () => Promise<Server>, comparedWith = [limit]) => {
    const check = (url: string) => checkSamples(samples, `${url}/verify`)
    return serverSubject({ name, comparedWith, start, check, traffic }, bench)
  }
  const env = { GATEPASS_ISSUER: issuer, GATEPASS_AUDIENCE: audience, GATEPASS_JWKS_URL: jwksUrl }
  const startFastify = (...args: string[]) => startServer('programs/fastify', args, bench)
  const startExpress = (...args: string[]) => startServer('programs/express', args, bench)
  return {
    /** @param guard a name in programs/fastify.ts */
    fastify: (name: string, guard: string) =>
      guarded(name, () => startFastify(guard, JSON.stringify(signer.trust), text)),
    express: (name: string, guard: string) =>
      guarded(name, () => startExpress(guard, text, issuer, audience, jwksUrl), [bareExpress]),
    service: (name: string, settings: Environment = {}) => {
      const spec = { cwd: bench.scratch, env: { ...env, ...settings } }
      return guarded(name, () => startService('verifier', spec, bench))
    },
    /** Routes without a guard, with the same requests. */
    unguarded: () =>
      [
        { name: bare, start: () => startFastify('bare', '{}', text) },
        { name: bareExpress, start: () => startExpress('bare', text) },
        { name: rawSignature, start: () => startFastify(rawSignature, '{}', text) },
      ].map((subject) => serverSubject({ ...subject, traffic }, bench)),
  }
}

/** A session of @fastify/session, signed in before the load. */
function redisSession(bench: Bench): Subject {
  return serverSubject(
    {
      name: '@fastify/session on Redis',
      comparedWith: [bare],
      start: () => startOnRedis('programs/session', [newSecret()], bench),
      check: (url) => checkSamples({ absent: '' }, url),
      traffic: async (url) => headerTraffic(await signInByCookie(url, 1)),
    },
    bench,
  )
}
