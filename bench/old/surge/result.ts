import type { describeGatepass, describeMachine } from '../harness/machine.ts'
import type { Script } from './script.ts'

/** What `npm run bench -- surge` leaves in `bench/results/surge-<time>.json`. */
export interface SurgeResult {
  readonly kind: 'surge'
  readonly date: string
  readonly machine: ReturnType<typeof describeMachine>
  readonly versions: Versions
  readonly options: SurgeOptions
  /** The load and the events that every system got, in milliseconds since the surge began. */
  readonly script: Script
  readonly calibration: Calibration
  /** By the name of the system, in the order in which they ran; `gatepass` is the first. */
  readonly systems: Readonly<Record<string, SystemResult>>
}

export interface Versions {
  readonly gatepass: ReturnType<typeof describeGatepass>
  readonly node: string
  readonly nginx: string
  readonly redis: string
}

export interface SurgeOptions {
  readonly isQuick: boolean
  /** Signed in before the surge begins, and active one after the other. */
  readonly users: number
  readonly verifiers: number
  readonly shops: number
  readonly issuers: number
  readonly accessTtl_s: number
  /** The share of the answers to refreshes that never reach the client. */
  readonly lostRefreshes: number
  /** What a password hash costs here; far below what it should in production. */
  readonly argon2id: { memory_kib: number; passes: number; parallelism: number }
  /** Broken on purpose, to see that the counters are not blind; null in an honest run. */
  readonly fault: string | null
}

/** How the load was fitted to the machine. */
export interface Calibration {
  /** What Gatepass's set-up took with no pauses between requests. */
  readonly capacity_per_second: number
  /** Its share that ten times the load is. */
  readonly share: number
  /** Actions a second at 1×. */
  readonly unit_per_second: number
}

export interface SystemResult {
  readonly name: string
  readonly title: string
  /** What runs: the processes, and how they were set up. */
  readonly setUp: readonly string[]
  /** What it took with no pauses between requests, before the surge. */
  readonly capacity_per_second: number
  readonly phases: readonly Phase[]
  /** One entry a second. */
  readonly series: readonly Moment[]
  readonly events: readonly SurgeEvent[]
  readonly totals: Totals
  /** Each failure that a user saw, at most the first 200. */
  readonly failures: readonly Failure[]
  readonly client: ClientFigures
}

/** Latency runs from when an action was due to its last answer, the client's retries included. */
export interface Phase {
  readonly name: string
  readonly startMs: number
  readonly endMs: number
  /** A multiple of the unit: 1 to 10. */
  readonly factor: number
  /** Actions a second that were due, and that ended. */
  readonly rate: number
  readonly ended_per_second: number
  readonly requests: number
  readonly failures: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

export interface Moment {
  readonly tMs: number
  /** Actions that ended in this second, those that the user saw fail among them. */
  readonly requests: number
  readonly failures: number
  /** First attempts that failed; nearly all of them were made good by a retry. */
  readonly firstFailures: number
  /** Answers by the replica that named itself in `X-Replica`. */
  readonly byReplica: Readonly<Record<string, number>>
  /** Null in a second in which nothing ended. */
  readonly p50: number | null
  readonly p99: number | null
}

export interface SurgeEvent {
  readonly tMs: number
  readonly name: string
  /** What was done, such as which replica was killed. */
  readonly detail: string
  /** False where the system has nothing of the kind, such as keys to rotate. */
  readonly applies: boolean
}

export interface Failure {
  readonly tMs: number
  readonly action: string
  /** A status, or `no answer`. */
  readonly kind: string
  readonly code: string
}

/** The four that should be zero come first. */
export interface Totals {
  /** Actions that failed for the user, after the client's retries. */
  readonly failures: number
  readonly failuresByKind: Readonly<Record<string, number>>
  /** Users who had to sign in again and had not signed out. */
  readonly signedOut: number
  /** By what the server said. */
  readonly signedOutByReason: Readonly<Record<string, number>>
  /** Items of carts that were acknowledged and then gone; and whose cart it was. */
  readonly lostItems: number
  readonly cartsWithLoss: number
  /** Sign-outs everywhere, and how many were still accepted somewhere after a second. */
  readonly signOuts: number
  readonly lateSignOuts: number
  /** How long after its acknowledgement each was last accepted; 0 when never. */
  readonly signOutBites_ms: readonly number[]
  /** Items that are in a cart once more than the user put them there. */
  readonly doubledItems: number
  readonly actions: number
  readonly actionsByName: Readonly<Record<string, number>>
  /** HTTP requests sent, retries included. */
  readonly requests: number
  readonly retries: number
  readonly firstFailures: number
  readonly firstFailuresByKind: Readonly<Record<string, number>>
  /** Carts that were compared with what was acknowledged: read, checked out, and all at the end. */
  readonly cartsCompared: number
  readonly logins: number
  readonly refreshes: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
}

/** Whether the load itself was able to do its work. */
export interface ClientFigures {
  /** How late the load's own timer was. */
  readonly lag_p99_ms: number
  readonly lag_max_ms: number
  /** Processor time of the load process over elapsed time. */
  readonly busy: number
}
