import { execFileSync } from 'node:child_process'
import type { Bench, Comparison, Scenario } from '../harness/scenario.ts'
import { served } from '../harness/subjects.ts'
import { startPostgres } from '../stores/postgres.ts'
import { startRedis } from '../stores/redis.ts'
import { type IssuerSubject, issuerSubject } from './issuer-subject.ts'
import { fillPostgres, fillRedis, fillSqlite } from './sessions.ts'

const few = 1_000
const many = 1_000_000
/** So many of them come back in turn: far more than what lies together. */
const refreshedCount = 32_768

/** Where the sessions of an issuer are, and how they get there. */
type Place = Pick<IssuerSubject, 'settings' | 'fill' | 'store'>

/** Makes places that hold nothing yet, on one store. */
type Places = (bench: Bench) => Promise<{ readonly few: Place; readonly many: Place }>

const onSqlite: Places = async () => {
  const place = { settings: {}, fill: fillSqlite }
  return { few: place, many: place }
}

const onRedis: Places = async (bench) => {
  const store = await startRedis(bench)
  const placeIn = (url: string): Place => ({
    settings: { GATEPASS_SESSIONS_URL: url },
    fill: (sessions) => fillRedis(sessions, url),
    store,
  })
  return { few: placeIn(`${store.url}/1`), many: placeIn(`${store.url}/0`) }
}

const onPostgres: Places = async (bench) => {
  const store = await startPostgres(bench)
  const placeIn = (url: string): Place => ({
    settings: { GATEPASS_SESSIONS_URL: url },
    fill: (sessions) => fillPostgres(sessions, url),
    store,
  })
  return { few: placeIn(await store.createDatabase('second')), many: placeIn(store.url) }
}

export const refreshScale: readonly Scenario[] = [
  scaleOf('SQLite', onSqlite),
  scaleOf('Redis', onRedis),
  scaleOf('Postgres', onPostgres),
]

function scaleOf(store: string, places: Places): Scenario {
  const nameOf = (count: number) => `${count.toLocaleString('en-US')} sessions`
  return {
    name: `refresh-scale-${store.toLowerCase()}`,
    title: `what a refresh costs on ${store} with a thousand sessions and with a million`,
    async prepare(bench) {
      const { few: fewPlace, many: manyPlace } = await places(bench)
      const subjectOf = (sessionCount: number, place: Place) =>
        issuerSubject(
          { name: nameOf(sessionCount), ...place, sessionCount, refreshedCount, isKept: true },
          bench,
        )
      const subjects = [await subjectOf(few, fewPlace), await subjectOf(many, manyPlace)]
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
