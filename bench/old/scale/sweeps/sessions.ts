import { execFileSync } from 'node:child_process'
import { statfsSync } from 'node:fs'
import { freemem } from 'node:os'
import type { Bench } from '../../harness/scenario.ts'
import { served } from '../../harness/subjects.ts'
import { type IssuerSubject, issuerSubject } from '../../scenarios/issuer-subject.ts'
import {
  onPostgres,
  onRedis,
  onSqlite,
  type SessionPlace,
  type SessionsOn,
} from '../../scenarios/session-places.ts'
import type { Figures } from '../result.ts'
import { formatSize, type SizedSubject, type Sweep } from '../sweep.ts'

/** So many of them come back in turn: about as many as are refreshed in a round. */
const refreshedCount = 32_768

export const sessionSweeps: readonly Sweep[] = [onSqlite, onPostgres, onRedis].map(sweepOf)

function sweepOf(one: SessionsOn): Sweep {
  return {
    name: `sessions-${one.store.toLowerCase()}`,
    title: `a refresh, and what a session takes, on ${one.store}`,
    of: 'sessions',
    sizes: [1e3, 1e4, 1e5, 1e6, 1e7],
    columns: [
      { key: 'cost_us', label: 'µs a refresh', digits: 1, tenfoldUnder: 1.1 },
      { key: 'issuer_us', label: 'of the issuer', digits: 1 },
      ...(one === onSqlite ? [] : [{ key: 'store_us', label: 'of the store', digits: 1 }]),
      { key: 'per_second', label: 'refreshes/s', digits: 0 },
      { key: 'p50_ms', label: 'p50 ms', digits: 2 },
      { key: 'p99_ms', label: 'p99 ms', digits: 2 },
      { key: 'bytes', label: 'bytes a session', digits: 0, tenfoldUnder: 1.1 },
    ],
    refuses: (size) => refusal(one, size),
    async prepare(sizes, bench, tell) {
      const makePlace = await one.start(bench)
      const subjects: SizedSubject[] = []
      for (const size of sizes) {
        tell(`storing ${formatSize(size)} sessions`)
        subjects.push(await sizedSubject(size, await makePlace(), bench))
      }
      // What has been laid out is on the disk before anything is measured.
      execFileSync('sync')
      return subjects
    },
  }
}

/** Why so many sessions are too many for this machine. */
function refusal({ memory_bytes, disk_bytes }: SessionsOn, size: number): string | null {
  if (size * memory_bytes > freemem()) return 'too little memory is free'
  const { bavail, bsize } = statfsSync('.')
  return size * disk_bytes > bavail * bsize ? 'too little of the disk is free' : null
}

async function sizedSubject(
  size: number,
  place: SessionPlace,
  bench: Bench,
): Promise<SizedSubject> {
  let bytes = 0
  const spec: IssuerSubject = {
    name: `issuer-${size}`,
    settings: place.settings,
    sessionCount: size,
    refreshedCount,
    isKept: true,
    ...(place.store !== undefined && { store: place.store }),
    async fill(sessions, template) {
      await place.fill(sessions, template)
      bytes = (await place.size_bytes(template)) / size
    },
  }
  const subject = served(await issuerSubject(spec, bench), bench)
  return {
    size,
    async measure(): Promise<Figures> {
      const { cost_us = 0, per_core_second = 0, ...readings } = await subject.measure()
      const issuer_us = 1e6 / per_core_second
      return { ...readings, cost_us, issuer_us, store_us: cost_us - issuer_us, bytes }
    },
  }
}
