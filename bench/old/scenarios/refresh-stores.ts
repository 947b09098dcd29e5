import { byRate } from '../harness/compare.ts'
import { isInMemory } from '../harness/machine.ts'
import type { Scenario } from '../harness/scenario.ts'
import { served } from '../harness/subjects.ts'
import { startPostgres } from '../stores/postgres.ts'
import { startRedis } from '../stores/redis.ts'
import { issuerSubject } from './issuer-subject.ts'
import { handRolled, oidcProvider } from './rivals.ts'
import { fillPostgres, fillRedis, fillSqlite } from './sessions.ts'

const sessionCount = 32_768
/** Its sign-ins are made anew at each start, which takes it long. */
const oidcSessionCount = 8_192

const handRolledName = 'hand-rolled on Redis'
const oidcName = 'oidc-provider in memory'

export const refreshStores: Scenario = {
  name: 'refresh-stores',
  title: 'the issuer refreshing on each of its stores, beside what people use today',
  async prepare(bench) {
    if (isInMemory(bench.scratch)) {
      throw new Error('a flush to memory costs nothing: set TMPDIR to a folder on a disk')
    }
    const redis = await startRedis(bench)
    const postgres = await startPostgres(bench)
    const issuers = [
      await issuerSubject({ name: 'SQLite', settings: {}, sessionCount, fill: fillSqlite }, bench),
      await issuerSubject(
        {
          name: 'Redis',
          settings: { GATEPASS_SESSIONS_URL: redis.url },
          sessionCount,
          fill: (sessions) => fillRedis(sessions, redis.url),
          store: redis,
        },
        bench,
      ),
      await issuerSubject(
        {
          name: 'Postgres',
          settings: { GATEPASS_SESSIONS_URL: postgres.url },
          sessionCount,
          fill: (sessions) => fillPostgres(sessions, postgres.url),
          store: postgres,
        },
        bench,
      ),
    ]
    const rivals = [
      handRolled(handRolledName, redis, sessionCount),
      oidcProvider(oidcName, oidcSessionCount),
    ]
    const beside = (subject: string) => [
      ...byRate({ subject, limit: handRolledName, target: { atLeast: 0.75 } }),
      ...byRate({ subject, limit: oidcName, target: { atLeast: 3 } }),
    ]
    return {
      subjects: [...issuers, ...rivals].map((subject) => served(subject, bench)),
      comparisons: [
        ...beside('SQLite'),
        ...beside('Redis'),
        ...byRate({ subject: 'Postgres', target: { atLeast: 4_000 } }),
      ],
    }
  },
}
