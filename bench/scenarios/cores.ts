import { type Server, startService } from '../harness/processes.ts'
import type { Bench, Scenario, Subject } from '../harness/scenario.ts'
import { served } from '../harness/subjects.ts'
import { createIssuer, signIn } from '../issuer.ts'
import { bearerTraffic, createSigner, publishKeys } from '../tokens.ts'

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
    const subjects: Subject[] = []
    for (const workers of ['1', '2']) subjects.push(await refreshing(workers, bench))
    for (const workers of ['1', '2']) subjects.push(await verifying(workers, bench))
    return subjects
  },
}

async function refreshing(workers: string, bench: Bench): Promise<Subject> {
  const settings = { GATEPASS_GRACE_S: '0', GATEPASS_WORKERS: workers }
  const spec = { name: `cores-${workers}`, store: 'Redis', users: sessions, hash: 'least' } as const
  let tokens: string[] = []
  const { start } = await createIssuer({ ...spec, settings }, bench, async ({ url }) => {
    tokens = await signIn(url, sessions)
  })
  const traffic = () => ({ kind: 'refresh', dialect: 'gatepass', tokens }) as const
  const name = `refresh, ${workers} worker(s)`
  return served({ name, start, traffic }, bench)
}

async function verifying(workers: string, bench: Bench): Promise<Subject> {
  const signer = await createSigner()
  const tokens = await signer.signMany(2_048)
  const { issuer, audience } = signer.trust
  const env = {
    ...{ GATEPASS_ISSUER: issuer, GATEPASS_AUDIENCE: audience, GATEPASS_WORKERS: workers },
    GATEPASS_JWKS_URL: await publishKeys(signer.trust, bench),
  }
  const start = (): Promise<Server> => startService('verifier', { cwd: bench.scratch, env }, bench)
  const traffic = () => bearerTraffic(tokens)
  const name = `/verify, ${workers} worker(s)`
  return served({ name, start, traffic }, bench)
}
