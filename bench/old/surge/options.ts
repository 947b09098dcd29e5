import type { SurgeOptions, Totals } from './result.ts'
import { createScript, type Script } from './script.ts'

/** What can be broken on purpose, and the counter that has to see it. */
export const faults = {
  'no-grace': {
    what: 'GATEPASS_GRACE_S=0, and clients without Idempotency-Key',
    seenBy: 'signedOut',
  },
  'ignore-revocations': { what: 'GATEPASS_REVOCATIONS=off', seenBy: 'lateSignOuts' },
  'lose-writes': {
    what: 'carts in a Redis with neither replica nor disk, which is killed',
    seenBy: 'lostItems',
  },
  'blind-writes': {
    what: 'shops that write a cart without comparing what is there',
    seenBy: 'lostItems',
  },
  impatient: { what: 'clients that never ask twice', seenBy: 'failures' },
} as const satisfies Record<string, { what: string; seenBy: keyof Totals }>

export type FaultName = keyof typeof faults

export interface SurgeSize {
  readonly options: SurgeOptions
  readonly script: Script
  readonly floodMs: number
  /** The share of what Gatepass takes in a flood that ten times the load is. */
  readonly share: number
}

/** Made far cheaper than it should be: two cores hash some 60 a second at the cost of production. */
const argon2id = { memory_kib: 1024, passes: 1, parallelism: 1 }

/**
 * Replicas that start, keys that are made and the refreshes themselves are not in the flood that it is a
 * share of, and all replicas have one core together: a dead one leaves no room for the others.
 */
const share = 0.3

/** @param fault null in an honest run */
export function sizeOf(isQuick: boolean, fault: FaultName | null): SurgeSize {
  const common = { issuers: 2, verifiers: 3, shops: 3, lostRefreshes: 0.02, argon2id, fault }
  return isQuick
    ? {
        options: { isQuick, users: 1000, accessTtl_s: 15, ...common },
        script: createScript(1_300),
        floodMs: 2_000,
        share,
      }
    : {
        options: { isQuick, users: 4000, accessTtl_s: 30, ...common },
        script: createScript(4_000),
        floodMs: 4_000,
        share,
      }
}
