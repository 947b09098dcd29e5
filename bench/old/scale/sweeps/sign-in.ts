import { withConnections } from '../../harness/scenario.ts'
import { served } from '../../harness/subjects.ts'
import { createAccounts, hashSettings } from '../../scenarios/accounts.ts'
import { IssuerService } from '../../scenarios/issuer-service.ts'
import type { Sweep } from '../sweep.ts'

/** Enough to have a login waiting whenever a hash is done. */
const connections = 8

/** Nothing that grows: it is measured for what the simulation makes of it. */
export const signIn: Sweep = {
  name: 'sign-in',
  title: 'a sign-in, by its Argon2id hash',
  of: 'accounts',
  sizes: [4_096],
  columns: [
    { key: 'issuer_us', label: 'µs a sign-in', digits: 0 },
    { key: 'per_second', label: 'sign-ins/s', digits: 1 },
    { key: 'p99_ms', label: 'p99 ms', digits: 0 },
  ],
  async prepare([size = 0], bench) {
    const issuer = await IssuerService.create(bench, hashSettings)
    const requests = await createAccounts(issuer.template)
    const subject = served(
      {
        name: 'issuer',
        server: () => issuer.spec(),
        traffic: () => ({ kind: 'fixed', requests }),
      },
      withConnections(connections, bench),
    )
    return [
      {
        size,
        async measure() {
          const { per_core_second = 0, ...readings } = await subject.measure()
          return { ...readings, issuer_us: 1e6 / per_core_second }
        },
      },
    ]
  },
}
