import type { SurgeOptions } from './result.ts'
import { createScript, type Script } from './script.ts'

/** What can be broken on purpose, to see that the counters are not blind. */
export const faults = {
  'no-grace': 'GATEPASS_GRACE_S=0 and clients without Idempotency-Key: users are signed out',
  'ignore-revocations': 'GATEPASS_REVOCATIONS=off: sign-outs do not bite',
  'lose-writes': 'carts in a Redis with neither replica nor disk, which is killed: items are lost',
  impatient: 'clients that never ask twice: failures are seen',
} as const

export type FaultName = keyof typeof faults

export interface SurgeSize {
  readonly options: SurgeOptions
  readonly script: Script
  readonly floodMs: number
  /** The share of what the machine takes that ten times the load is. */
  readonly share: number
}

/** Made far cheaper than it should be: two cores hash some 60 a second at the cost of production. */
const argon2id = { memory_kib: 1024, passes: 1, parallelism: 1 }

/** @param fault null in an honest run */
export function sizeOf(isQuick: boolean, fault: FaultName | null): SurgeSize {
  const common = { issuers: 2, verifiers: 3, shops: 3, lostRefreshes: 0.02, argon2id, fault }
  return isQuick
    ? {
        options: { isQuick, users: 1000, accessTtl_s: 15, ...common },
        script: createScript(1_500),
        floodMs: 2_000,
        share: 0.5,
      }
    : {
        options: { isQuick, users: 4000, accessTtl_s: 30, ...common },
        script: createScript(5_000),
        floodMs: 4_000,
        share: 0.5,
      }
}
