import { startService } from '../harness/processes.ts'
import type { Bench, Scenario, Subject } from '../harness/scenario.ts'
import { served } from '../harness/subjects.ts'
import { createIssuer, signIn } from '../issuer.ts'
import { bearer, createSigner, headerTraffic, publishKeys } from '../tokens.ts'

/**
 * One worker process and two, without pinning. The load shares the cores with them, so compare the work
 * per core-second, which does not count the load. At a low pace it would mostly count wake-ups.
 */

const sessions = 1_024

export const cores: Scenario = {
  name: 'cores',
  title: 'refreshes on Redis, and /verify, with one worker process and with two',
  async ours(pinned) {
    const bench = { ...pinned, cores: null }
    const counts = ['1', '2']
    const verifying = await Promise.all(counts.map((workers) => verifyingSubject(workers, bench)))
    return [...counts.map((workers) => refreshingSubject(workers, bench)), ...verifying]
  },
}

function refreshingSubject(workers: string, bench: Bench): Subject {
  const settings = { GATEPASS_GRACE_S: '0', GATEPASS_WORKERS: workers }
  const spec = { name: `cores-${workers}`, store: 'Redis', users: sessions, hash: 'least' } as const
  const tokens: string[] = []
  const { start } = createIssuer({ ...spec, settings }, bench, async ({ url }) => {
    tokens.push(...(await signIn(url, sessions)))
  })
  const traffic = () => ({ dialect: 'json', tokens }) as const
  return served({ name: `refresh, ${workers} worker(s)`, start, traffic }, bench)
}

async function verifyingSubject(workers: string, bench: Bench): Promise<Subject> {
  const signer = await createSigner()
  const tokens = await signer.signMany(2_048)
  const { issuer, audience } = signer.trust
  const env = {
    ...{ GATEPASS_ISSUER: issuer, GATEPASS_AUDIENCE: audience, GATEPASS_WORKERS: workers },
    GATEPASS_JWKS_URL: await publishKeys(signer.trust),
  }
  const start = () => startService('verifier', { cwd: bench.scratch, env }, bench)
  const traffic = () => headerTraffic(tokens.map(bearer))
  return served({ name: `/verify, ${workers} worker(s)`, start, traffic }, bench)
}
