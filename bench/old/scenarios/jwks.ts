import { byRate } from '../harness/compare.ts'
import type { Scenario } from '../harness/scenario.ts'
import { served } from '../harness/subjects.ts'
import type { Traffic } from '../load/traffic.ts'
import { bareSpec } from './bare-server.ts'
import { IssuerService } from './issuer-service.ts'

const path = '/.well-known/jwks.json'

export const jwks: Scenario = {
  name: 'jwks',
  title: 'the issuer publishing its keys, beside a bare Fastify route with the same body',
  async prepare(bench) {
    const issuer = await IssuerService.create(bench)
    const body = await issuer.sampleAnswer(bench, path)
    const traffic = (): Traffic => ({ kind: 'fixed', requests: [{ method: 'GET', path }] })
    return {
      subjects: [
        served({ name: 'issuer', server: () => issuer.spec(), traffic }, bench),
        served({ name: 'bare route', server: () => bareSpec(body), traffic }, bench),
      ],
      comparisons: byRate({ subject: 'issuer', limit: 'bare route', target: { atLeast: 0.9 } }),
    }
  },
}
