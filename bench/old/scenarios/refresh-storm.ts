import type { Request } from 'autocannon'
import type { Comparison, Scenario } from '../harness/scenario.ts'
import { served } from '../harness/subjects.ts'
import { createAccounts, hashSettings } from './accounts.ts'
import { issuerSubject } from './issuer-subject.ts'
import { fillSqlite } from './sessions.ts'

const sessionCount = 8_192
/** Refreshes as of 300,000 devices, and far from what a core can do. */
const pace_per_second = 1_000
/** Enough to have a login waiting whenever a hash is done; when one would wait too long, it is 503. */
const logins = { connections: 8, refusals: [503] }

/** How much later refreshes are answered while logins take all the processor time they can get. */
const target = { under: 2 }

export const refreshStorm: Scenario = {
  name: 'refresh-storm',
  title: 'refreshes alone, and while logins keep the hashing busy on the same core',
  async prepare(bench) {
    let requests: readonly Request[] = []
    const issuer = await issuerSubject(
      {
        name: 'issuer',
        settings: hashSettings,
        sessionCount,
        async fill(sessions, template) {
          await fillSqlite(sessions, template)
          requests = await createAccounts(template)
        },
      },
      bench,
    )
    const beside = { ...logins, traffic: () => ({ kind: 'fixed', requests }) as const }
    const paced = { ...issuer, pace_per_second }
    const subjects = [
      { ...paced, name: 'paced' },
      { ...paced, name: 'paced, with logins', beside },
      { ...issuer, name: 'full' },
      { ...issuer, name: 'full, with logins', beside },
    ]
    return {
      subjects: subjects.map((subject) => served(subject, bench)),
      comparisons: ['paced', 'full'].flatMap((limit): Comparison[] => {
        const subject = `${limit}, with logins`
        return [
          { subject, metric: 'p99_ms', limit, target },
          { subject, metric: 'p50_ms', limit },
        ]
      }),
    }
  },
}
