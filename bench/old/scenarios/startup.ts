import { setTimeout as sleep } from 'node:timers/promises'
import { resident_mib } from '../harness/process-figures.ts'
import type { Bench, Comparison, Scenario, Subject } from '../harness/scenario.ts'
import { type ServerSpec, startServer } from '../harness/server.ts'
import { audience, createSigningKey, issuer as issuerName } from './access-tokens.ts'
import { IssuerService } from './issuer-service.ts'
import { startKeyServer } from './key-server.ts'
import { verifierSpec } from './verifier-service.ts'

const readyWithin_ms = 500
const residentWithin_mib = 120
/** As `npm start` has it. */
const fromSource = true
/** How long a process is left alone before its memory is read. */
const idleMs = 2_000

export const startup: Scenario = {
  name: 'startup',
  title: 'from the start of a process until it takes requests, and its memory when idle',
  async prepare(bench) {
    const issuer = await IssuerService.create(bench)
    const { jwks } = await createSigningKey()
    const keyServer = await startKeyServer(jwks)
    bench.defer(() => keyServer.close())
    const verifier = { issuer: issuerName, audience, jwksUrl: keyServer.jwksUrl }
    return {
      subjects: [
        started('issuer', () => issuer.spec(), bench),
        started('verifier', () => verifierSpec(verifier), bench),
        started('issuer from source', () => ({ ...issuer.spec(), fromSource }), bench),
        started('verifier from source', () => ({ ...verifierSpec(verifier), fromSource }), bench),
      ],
      comparisons: ['issuer', 'verifier'].flatMap((subject): Comparison[] => [
        { subject, metric: 'ready_ms', target: { under: readyWithin_ms } },
        { subject, metric: 'resident_mib', target: { under: residentWithin_mib } },
      ]),
    }
  },
}

function started(name: string, spec: () => ServerSpec, bench: Bench): Subject {
  return {
    name,
    async measure() {
      const server = await startServer(spec(), bench)
      try {
        await sleep(idleMs)
        return { ready_ms: server.ready_ms, resident_mib: resident_mib(server.pid) }
      } finally {
        await server.stop()
      }
    },
  }
}
