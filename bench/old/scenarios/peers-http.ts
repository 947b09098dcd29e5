import type { Bench, Comparison, Scenario } from '../harness/scenario.ts'
import { type ServerSpec, startServer } from '../harness/server.ts'
import { type ServedSubject, served } from '../harness/subjects.ts'
import { rowName, type Samples, wronglyTaken } from '../peers/samples.ts'
import { verifierPackages } from '../peers/versions.ts'
import { bareSpec } from './bare-server.ts'
import { BetterAuth } from './better-auth.ts'
import { body, linesTraffic, smallCache_bytes, trafficOf } from './guarded-traffic.ts'
import { startKeyServer } from './key-server.ts'
import { type PeersMaterial, preparePeers, type TokenMix, tokenMixes } from './peers-tokens.ts'

const cachedSession = 'better-auth session, cookie cache'
const fastifyBare = 'bare route, Fastify'
const expressBare = 'bare route, Express'
const checkingBare = 'bare route that checks a signature'
const keepingNone = ['jose', 'jsonwebtoken', 'aws-jwt-verify']
const frameworks = ['@fastify/jwt', 'fastify', 'express-oauth2-jwt-bearer', 'express']

/** A guarded route, and the bare one that it is held against. */
interface Guarded {
  readonly name: string
  readonly limit: string
  /** Whether it knows tokens again, and has to meet all of them before the time counts. */
  readonly keepsTokens: boolean
  spec(): ServerSpec
}

export const peersHttp: readonly Scenario[] = tokenMixes.map((mix) => ({
  name: `peers-http-${mix.name}`,
  title: `a guarded route over HTTP, with ${mix.label}`,
  packages: [...verifierPackages, ...frameworks, ...(mix.name === 'one' ? ['better-auth'] : [])],
  async prepare(bench) {
    const material = await preparePeers(mix)
    const keyServer = await startKeyServer(material.trust.jwks)
    bench.defer(() => keyServer.close())
    const traffic = trafficOf(material.tokens, bench)
    const hasSession = mix.name === 'one'
    const atOnce = { ...traffic, countsAtOnce: true }
    const fastify = fastifyRows(mix, material)
    const express = expressRows(mix, material, keyServer.jwksUrl)
    const rows = []
    for (const row of [...fastify, ...express]) {
      rows.push({ ...row, name: await checkedName(row, material.samples, bench) })
    }
    const subjects = [
      ...rows.map(({ name, keepsTokens, spec }) => {
        return { name, server: spec, traffic: () => (keepsTokens ? traffic : atOnce) }
      }),
      ...(hasSession ? [await betterAuthSubject(bench)] : []),
      { name: fastifyBare, server: () => bareSpec(body), traffic: () => atOnce },
      { name: expressBare, server: () => expressSpec('bare', [body]), traffic: () => atOnce },
      { name: checkingBare, server: checkingSpec, traffic: () => atOnce },
    ]
    return {
      subjects: subjects.map((subject) => served(subject, bench)),
      comparisons: [
        ...comparisonsOf(rows, rows[0]?.name ?? ''),
        ...(hasSession ? sessionComparisons : []),
      ],
    }
  },
}))

function comparisonsOf(rows: readonly Guarded[], ours: string): Comparison[] {
  const metric = 'per_core_second' as const
  const onFastify = rows.filter(({ limit }) => limit === fastifyBare)
  const others = onFastify.filter(({ name }) => name !== ours)
  return [
    ...rows.map(({ name, limit }) => ({ subject: name, metric, limit })),
    ...onFastify.map(({ name }) => ({ subject: name, metric, limit: checkingBare })),
    ...others.map(({ name }) => ({ subject: ours, metric, limit: name })),
  ]
}

const sessionComparisons: readonly Comparison[] = [
  { subject: cachedSession, metric: 'per_core_second', limit: fastifyBare },
]

/** What a route costs that checks a signature at each request, and does nothing else. */
function checkingSpec(): ServerSpec {
  const module = new URL('../servers/verifying.ts', import.meta.url)
  return { name: checkingBare, module, args: [body] }
}

function fastifyRows({ areNew }: TokenMix, { trust }: PeersMaterial): Guarded[] {
  const { issuer, audience, jwks } = trust
  const settings = [body, issuer, audience, JSON.stringify(jwks)]
  const row = (name: string, file: string, ...more: readonly string[]): Guarded => ({
    name,
    limit: fastifyBare,
    keepsTokens: !areNew && !keepingNone.includes(name),
    spec: () => {
      const module = new URL(file, import.meta.url)
      return { name, module, args: [...settings, ...more] }
    },
  })
  const plugin = '../servers/guarded.ts'
  const jwtPlugin = '../servers/fastify-jwt.ts'
  const hook = (name: string) => row(name, '../peers/guarded-fastify.ts', name)
  return [
    areNew
      ? row('gatepass, nothing kept', plugin, String(smallCache_bytes))
      : row('gatepass', plugin),
    ...(areNew ? [] : [hook('gatepass, verifySync')]),
    row('@fastify/jwt', jwtPlugin),
    ...(areNew ? [] : [row('@fastify/jwt, tuned', jwtPlugin, 'tuned')]),
    hook('fast-jwt'),
    ...(areNew ? [] : [hook('fast-jwt, tuned')]),
    ...keepingNone.map(hook),
  ]
}

function expressRows({ areNew }: TokenMix, { trust }: PeersMaterial, jwksUrl: string): Guarded[] {
  const { issuer, audience } = trust
  return ['gatepass', 'express-oauth2-jwt-bearer'].map((guard) => ({
    name: `${guard}, Express`,
    limit: expressBare,
    keepsTokens: !areNew && guard === 'gatepass',
    spec: () => expressSpec(guard, [body, issuer, audience, jwksUrl]),
  }))
}

function expressSpec(guard: string, settings: readonly string[]): ServerSpec {
  const [, issuer = '', audience = '', jwksUrl = ''] = settings
  return {
    name: `${guard}, Express`,
    module: new URL('../peers/guarded-express.ts', import.meta.url),
    args: [body, issuer, audience, jwksUrl, guard],
  }
}

/** Starts it once to see what it refuses. */
async function checkedName(row: Guarded, samples: Samples, bench: Bench): Promise<string> {
  const server = await startServer(row.spec(), bench)
  try {
    return rowName(row.name, await wronglyTaken(samples, (token) => accepts(server.url, token)))
  } finally {
    await server.stop()
  }
}

async function accepts(url: string, token: string): Promise<boolean> {
  const response = await fetch(`${url}/verify`, { headers: { authorization: `Bearer ${token}` } })
  await response.arrayBuffer()
  if (response.status === 200) return true
  if (response.status === 401) return false
  throw new Error(`a token was answered by ${response.status}`)
}

/**
 * A session of better-auth by its cookies, of which one is a copy of the session, signed: no
 * database is asked. It is checked at every start, as its users are made there.
 */
async function betterAuthSubject(bench: Bench): Promise<ServedSubject> {
  const name = cachedSession
  const server = new BetterAuth(3, bench)
  let cookie = ''
  return {
    name,
    server: () => server.spec(),
    async check(url) {
      cookie = await server.cachedCookieOf(0, url)
      const status = async (sent: string) =>
        (await fetch(`${url}/verify`, { headers: { cookie: sent } })).status
      server.expire(1)
      const statuses = [
        await status(cookie),
        await status(cookie.replaceAll(/.(?=;|$)/g, '!')),
        await status(server.cookieOf(1)),
      ]
      if (`${statuses}` !== '200,401,401') throw new Error(`${name}: ${statuses}`)
    },
    traffic: () => linesTraffic('cookies', 'Cookie: ', [cookie], bench),
  }
}
