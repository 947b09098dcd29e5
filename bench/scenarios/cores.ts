import type { Scenario } from '../harness/scenario.ts'
import { issuerWithSessions, refreshSubject } from './refresh.ts'
import { createRoutes, mixes } from './verify.ts'

/** The load shares the cores with the workers. Only the work per core-second leaves out the load. */
export const cores: Scenario = {
  name: 'cores',
  title: 'refreshes on Redis, and /verify, with one worker process and with two',
  isPinned: false,
  async ours(bench) {
    const { service } = await createRoutes(mixes[1], 'ES256', bench)
    const counts = ['1', '2']
    const refreshing = counts.map((workers) => {
      const settings = { GATEPASS_WORKERS: workers }
      const spec = { name: `cores-${workers}`, store: 'Redis', settings } as const
      const issuer = { ...issuerWithSessions(spec, bench), dialect: 'json' } as const
      return refreshSubject(`refresh, ${workers} worker(s)`, issuer, [], bench)
    })
    const verifying = counts.map((workers) =>
      service(`/verify, ${workers} worker(s)`, { GATEPASS_WORKERS: workers }),
    )
    return [...refreshing, ...verifying]
  },
}
