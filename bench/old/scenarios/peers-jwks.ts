import { byRate } from '../harness/compare.ts'
import type { Bench, Scenario } from '../harness/scenario.ts'
import { type ServerSpec, startServer } from '../harness/server.ts'
import { served } from '../harness/subjects.ts'
import { installPeers } from '../peers/install.ts'
import { bareSpec } from './bare-server.ts'
import { BetterAuth } from './better-auth.ts'
import { IssuerService } from './issuer-service.ts'
import { oidcProvider } from './rivals.ts'

const ours = 'gatepass'

interface KeyPublisher {
  readonly name: string
  readonly path: string
  spec(): ServerSpec | Promise<ServerSpec>
}

export const peersJwks: Scenario = {
  name: 'peers-jwks',
  title: 'the public keys, each beside a bare route with the same body',
  packages: ['oidc-provider', 'better-auth', 'fastify'],
  async prepare(bench) {
    installPeers()
    const issuer = await IssuerService.create(bench)
    const betterAuth = new BetterAuth(1, bench)
    const publishers: KeyPublisher[] = [
      { name: ours, path: '/.well-known/jwks.json', spec: () => issuer.spec() },
      { name: 'oidc-provider', path: '/jwks', spec: () => oidcProvider('', 1).server() },
      { name: 'better-auth', path: '/api/auth/jwks', spec: () => betterAuth.spec() },
    ]
    const rows = []
    for (const publisher of publishers) rows.push(...(await withBareRoute(publisher, bench)))
    return {
      subjects: rows.map((row) => served(row, bench)),
      comparisons: publishers.flatMap(({ name }) => [
        ...byRate({ subject: name, limit: bareName(name) }),
        ...(name === ours ? [] : byRate({ subject: ours, limit: name })),
      ]),
    }
  },
}

function bareName(name: string): string {
  return `bare route, as ${name}`
}

/** A publisher, and its limit: the same text from a bare route. */
async function withBareRoute({ name, path, spec }: KeyPublisher, bench: Bench) {
  const body = await bodyOf(spec, path, bench)
  const traffic = () => ({ kind: 'fixed', requests: [{ method: 'GET', path }] }) as const
  return [
    { name, server: spec, traffic },
    { name: bareName(name), server: () => bareSpec(body), traffic },
  ]
}

async function bodyOf(spec: KeyPublisher['spec'], path: string, bench: Bench): Promise<string> {
  const server = await startServer(await spec(), bench)
  try {
    const response = await fetch(`${server.url}${path}`)
    const text = await response.text()
    const { keys } = JSON.parse(text) as { keys: readonly { kid?: string; d?: string }[] }
    const areFit = keys.length > 0 && keys.every(({ kid, d }) => kid && d === undefined)
    if (!areFit) throw new Error(`${path} publishes no keys, or private ones`)
    return text
  } finally {
    await server.stop()
  }
}
