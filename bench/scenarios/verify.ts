import { randomUUID } from 'node:crypto'
import { installPeers } from '../harness/peers.ts'
import { type Server, startServer, startService } from '../harness/processes.ts'
import type { Bench, Scenario, Subject } from '../harness/scenario.ts'
import { served } from '../harness/subjects.ts'
import type { Traffic } from '../harness/traffic.ts'
import { startRedis } from '../stores.ts'
import {
  type Algorithm,
  bearerTraffic,
  checkSamples,
  createSamples,
  createSigner,
  headerTraffic,
  publishKeys,
  type Samples,
  type Trust,
} from '../tokens.ts'

/** Which tokens are sent. Those that are new exceed a cache that is as small as it can be. */
const mixes = [
  { name: 'one', label: 'one token, repeated', count: 1 },
  { name: '2048', label: '2,048 tokens in turn', count: 2_048 },
  { name: 'new', label: 'tokens that are all new', count: 4_096 },
] as const

type Mix = (typeof mixes)[number]

/** What every route answers. */
const text = JSON.stringify({ orders: [] })
const bare = 'bare route, Fastify'
const bareExpress = 'bare route, Express'
const rawSignature = 'bare route that checks a signature'
const plugins = ['@fastify/jwt', '@fastify/jwt, tuned']
const libraries = ['fast-jwt', 'fast-jwt, tuned', 'jose', 'jsonwebtoken', 'aws-jwt-verify']
const otherPackages = ['fastify', 'express', 'express-oauth2-jwt-bearer', '@fastify/session']

export const verify: readonly Scenario[] = mixes.map((mix) => ({
  name: `verify-${mix.name}`,
  title: `a guarded route over HTTP, with ${mix.label}`,
  packages: [...plugins, ...libraries, ...otherPackages].filter((name) => !name.includes('tuned')),
  ours: (bench) => oursOf(mix, bench),
  rivals: (bench) => rivalsOf(mix, bench),
}))

async function oursOf(mix: Mix, bench: Bench): Promise<Subject[]> {
  const routes = await GuardedRoutes.create(mix, 'ES256', bench)
  if (mix.name === 'new') {
    const byRs256 = await GuardedRoutes.create(mix, 'RS256', bench)
    return [
      routes.fastify('guarded route', 'gatepass, nothing kept', rawSignature),
      byRs256.fastify('guarded route, RS256', 'gatepass, nothing kept', bare),
    ]
  }
  return [
    routes.fastify('guarded route', 'gatepass', bare),
    await routes.service('/verify', bare),
    ...(mix.name === 'one' ? [await routes.express('guarded route, Express', 'gatepass')] : []),
  ]
}

async function rivalsOf(mix: Mix, bench: Bench): Promise<Subject[]> {
  installPeers()
  const routes = await GuardedRoutes.create(mix, 'ES256', bench)
  const isNew = mix.name === 'new'
  const keepers = [...plugins, 'fast-jwt', 'fast-jwt, tuned']
  const onFastify = [...plugins, ...libraries].filter((name) => !isNew || !name.endsWith('tuned'))
  const limitOf = (name: string) => (isNew || !keepers.includes(name) ? rawSignature : bare)
  return [
    ...onFastify.map((name) => routes.fastify(name, name, limitOf(name))),
    await routes.express('express-oauth2-jwt-bearer, Express', 'express-oauth2-jwt-bearer'),
    ...(mix.name === 'one' ? [await redisSession(bench)] : []),
    ...[bare, rawSignature].map((name) => routes.unguarded(name)),
    routes.unguarded(bareExpress),
  ]
}

/** Routes that take the tokens of one signer, and the requests to them. */
class GuardedRoutes {
  readonly #trust: Trust
  readonly #samples: Samples
  readonly #traffic: Traffic
  readonly #bench: Bench

  private constructor(trust: Trust, samples: Samples, traffic: Traffic, bench: Bench) {
    this.#trust = trust
    this.#samples = samples
    this.#traffic = traffic
    this.#bench = bench
  }

  static async create(mix: Mix, alg: Algorithm, bench: Bench): Promise<GuardedRoutes> {
    const signer = await createSigner(alg)
    const traffic = bearerTraffic(await signer.signMany(mix.count), mix.name !== 'new')
    return new GuardedRoutes(signer.trust, await createSamples(signer), traffic, bench)
  }

  /** @param guard as programs/fastify.ts knows it */
  fastify(name: string, guard: string, limit: string): Subject {
    const args = [guard, JSON.stringify(this.#trust), text]
    return this.#guarded(name, limit, () => startServer('programs/fastify', args, this.#bench))
  }

  async express(name: string, guard: string): Promise<Subject> {
    const { issuer, audience } = this.#trust
    const args = [guard, text, issuer, audience, await publishKeys(this.#trust, this.#bench)]
    const start = () => startServer('programs/express', args, this.#bench)
    return this.#guarded(name, bareExpress, start)
  }

  async service(name: string, limit: string): Promise<Subject> {
    const env = {
      GATEPASS_ISSUER: this.#trust.issuer,
      GATEPASS_AUDIENCE: this.#trust.audience,
      GATEPASS_JWKS_URL: await publishKeys(this.#trust, this.#bench),
    }
    const { scratch } = this.#bench
    const start = () => startService('verifier', { cwd: scratch, env }, this.#bench)
    return this.#guarded(name, limit, start)
  }

  /** What the same requests cost without a guard. */
  unguarded(name: string): Subject {
    const [program, args] =
      name === bareExpress
        ? ['programs/express', ['bare', text]]
        : ['programs/fastify', [name === bare ? 'bare' : 'raw signature', '{}', text]]
    const start = () => startServer(program, args, this.#bench)
    return served({ name, start, traffic: () => this.#traffic }, this.#bench)
  }

  #guarded(name: string, limit: string, start: () => Promise<Server>): Subject {
    const check = (url: string) => checkSamples(this.#samples, `${url}/verify`)
    return served({ name, limit, start, check, traffic: () => this.#traffic }, this.#bench)
  }
}

/** A session of @fastify/session, signed in before the load. */
async function redisSession(bench: Bench): Promise<Subject> {
  const redis = await startRedis(`${bench.scratch}/session-redis`, bench)
  bench.defer(() => redis.stop())
  const args = [redis.url, randomUUID() + randomUUID()]
  let cookie = ''
  return served(
    {
      name: '@fastify/session on Redis',
      limit: bare,
      start: async () => {
        return { ...(await startServer('programs/session', args, bench)), storePid: redis.pid }
      },
      async check(url) {
        const login = await fetch(`${url}/login`)
        cookie = login.headers.get('set-cookie')?.split(';')[0] ?? ''
        if ((await fetch(url, { headers: { cookie } })).status !== 200)
          throw new Error('no session')
      },
      traffic: () => headerTraffic([{ cookie }]),
    },
    bench,
  )
}
