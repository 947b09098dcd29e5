import { execFileSync } from 'node:child_process'
import type { Comparison, Scenario } from '../harness/scenario.ts'
import { served } from '../harness/subjects.ts'
import { issuerSubject } from './issuer-subject.ts'
import { onPostgres, onRedis, onSqlite, type SessionsOn } from './session-places.ts'

const few = 1_000
const many = 1_000_000
/** So many of them come back in turn: far more than what lies together. */
const refreshedCount = 32_768

export const refreshScale: readonly Scenario[] = [onSqlite, onRedis, onPostgres].map(scaleOf)

function scaleOf({ store, start }: SessionsOn): Scenario {
  const nameOf = (count: number) => `${count.toLocaleString('en-US')} sessions`
  return {
    name: `refresh-scale-${store.toLowerCase()}`,
    title: `what a refresh costs on ${store} with a thousand sessions and with a million`,
    async prepare(bench) {
      const makePlace = await start(bench)
      const subjectOf = async (sessionCount: number) => {
        const place = { ...(await makePlace()), sessionCount, refreshedCount, isKept: true }
        return issuerSubject({ name: nameOf(sessionCount), ...place }, bench)
      }
      const subjects = [await subjectOf(few), await subjectOf(many)]
      // What has been laid out is on the disk before anything is measured.
      execFileSync('sync')
      const pair = { subject: nameOf(many), limit: nameOf(few) }
      const comparisons: Comparison[] = [
        { ...pair, metric: 'cost_us', target: { under: 1.1 } },
        { ...pair, metric: 'per_second' },
      ]
      return { subjects: subjects.map((subject) => served(subject, bench)), comparisons }
    },
  }
}
