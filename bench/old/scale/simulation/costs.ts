import type { SweepResult } from '../result.ts'
import { medianOf } from '../sweep.ts'

/** What was measured of a store, with the most sessions that it was measured with. */
export interface StoreCosts {
  readonly title: string
  readonly sessions: number
  /** What a refresh takes of a core of the issuer. */
  readonly refresh_us: number
  /** What it takes of the store, where that is a process of its own. */
  readonly store_us: number
  readonly session_bytes: number
  /** What ten times the sessions multiply the work of a refresh by. */
  readonly tenfold: number
}

/** What was measured, with the sessions on Redis. */
export interface Costs extends StoreCosts {
  readonly signIn_us: number
  /** What each entry of the feed adds to its snapshot, and to the time that a verifier loads it. */
  readonly feedEntry: { readonly bytes: number; readonly us: number } | null
  /** The same of each store; what is simulated is Redis. */
  readonly stores: readonly StoreCosts[]
}

/** The costs that a run has measured; null as long as there is none of Redis, or of a sign-in. */
export function costsOf(sweeps: readonly SweepResult[]): Costs | null {
  const [sessions, signIn, revocations] = ['sessions-redis', 'sign-in', 'revocations'].map((name) =>
    sweeps.find((sweep) => sweep.name === name),
  )
  if (sessions === undefined || signIn === undefined) return null
  return {
    ...storeCostsOf(sessions),
    signIn_us: last(signIn, 'issuer_us'),
    feedEntry:
      revocations === undefined
        ? null
        : {
            bytes: ofEach(revocations, 'snapshot_bytes'),
            us: 1000 * ofEach(revocations, 'load_ms'),
          },
    stores: sweeps.filter(({ of }) => of === 'sessions').map(storeCostsOf),
  }
}

function storeCostsOf(sweep: SweepResult): StoreCosts {
  return {
    title: sweep.title,
    sessions: sweep.points.at(-1)?.size ?? 0,
    refresh_us: last(sweep, 'issuer_us'),
    store_us: last(sweep, 'store_us'),
    session_bytes: last(sweep, 'bytes'),
    tenfold: sweep.growth.find(({ key }) => key === 'cost_us')?.tenfold ?? 1,
  }
}

/** At the largest size. */
function last(sweep: SweepResult, key: string): number {
  return valueAt(sweep, -1, key)
}

/** What one more takes, beyond what there is without any. */
function ofEach(sweep: SweepResult, key: string): number {
  const [least = 0, ...more] = sweep.points.map(({ size }) => size)
  return (last(sweep, key) - valueAt(sweep, 0, key)) / ((more.at(-1) ?? Number.NaN) - least)
}

function valueAt(sweep: SweepResult, at: number, key: string): number {
  const point = sweep.points.at(at)
  const value = point === undefined ? null : medianOf(point, key)
  if (value === null) throw new Error(`${sweep.name} has no ${key}`)
  return value
}
