import { byRate } from '../harness/compare.ts'
import type { Comparison, Scenario } from '../harness/scenario.ts'
import type { ServerSpec } from '../harness/server.ts'
import { loop, served } from '../harness/subjects.ts'
import type { Traffic } from '../load/traffic.ts'
import { audience, createSigningKey, issuer, signTokens } from './access-tokens.ts'
import { bareSpec } from './bare-server.ts'
import { startKeyServer } from './key-server.ts'
import { verifierSpec } from './verifier-service.ts'

/** One token says what a look-up costs; so many in turn, what a busy service meets. */
const tokenCount = 2048
const body = JSON.stringify({ orders: [] })

export const verify: Scenario = {
  name: 'verify',
  title: 'a guarded route and the forward-auth service, beside a bare route and a raw verification',
  async prepare(bench) {
    const { key, jwks } = await createSigningKey()
    const keyServer = await startKeyServer(jwks)
    const tokens = await signTokens(tokenCount, key)
    const one = () => trafficOf(tokens.slice(0, 1))
    const inTurn = () => trafficOf(tokens)
    const bare = () => bareSpec(body)
    const guarded = () => guardedSpec(jwks)
    const service = () => verifierSpec({ issuer, audience, jwksUrl: keyServer.jwksUrl })
    const subjects = [
      served({ name: 'bare route', server: bare, traffic: one }, bench),
      served({ name: 'guarded route, one token', server: guarded, traffic: one }, bench),
      served({ name: 'guarded route, 2,048 tokens', server: guarded, traffic: inTurn }, bench),
      served({ name: '/verify, one token', server: service, traffic: one }, bench),
      served({ name: '/verify, 2,048 tokens', server: service, traffic: inTurn }, bench),
      loop(
        { name: 'raw verification', module: new URL('../raw/verify.ts', import.meta.url) },
        bench,
      ),
    ]
    const verifying = subjects.slice(1, -1).map(({ name }) => name)
    return {
      subjects,
      comparisons: [
        ...verifying.flatMap((subject) => byRate({ subject, limit: 'bare route' })),
        ...verifying.map((subject): Comparison => {
          return { subject, metric: 'per_core_second', limit: 'raw verification' }
        }),
      ],
      close: () => keyServer.close(),
    }
  },
}

function guardedSpec(jwks: object): ServerSpec {
  const module = new URL('../servers/guarded.ts', import.meta.url)
  return { name: 'guarded route', module, args: [body, issuer, audience, JSON.stringify(jwks)] }
}

function trafficOf(tokens: readonly string[]): Traffic {
  return {
    kind: 'fixed',
    requests: tokens.map((token) => ({
      method: 'GET',
      path: '/verify',
      headers: { authorization: `Bearer ${token}` },
    })),
  }
}
