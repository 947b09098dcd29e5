import { byRate } from '../harness/compare.ts'
import type { Scenario } from '../harness/scenario.ts'
import { loop, served } from '../harness/subjects.ts'
import type { Traffic } from '../load/traffic.ts'
import { createAccounts, hashSettings } from './accounts.ts'
import { IssuerService } from './issuer-service.ts'

export const login: Scenario = {
  name: 'login',
  title: 'the issuer signing users in with Argon2id, beside the same hash one at a time in a loop',
  // A queue, but none that has to wait longer than an issuer lets it (2 s).
  connections: 32,
  async prepare(bench) {
    const issuer = await IssuerService.create(bench, hashSettings)
    const requests = await createAccounts(issuer.template)
    const traffic = (): Traffic => ({ kind: 'fixed', requests })
    const module = new URL('../raw/argon2id.ts', import.meta.url)
    return {
      subjects: [
        served({ name: 'issuer', server: () => issuer.spec(), traffic }, bench),
        loop({ name: 'raw Argon2id', module }, bench),
      ],
      comparisons: byRate({ subject: 'issuer', limit: 'raw Argon2id', target: { atLeast: 0.95 } }),
    }
  },
}
