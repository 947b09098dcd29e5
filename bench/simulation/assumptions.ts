/** Assumptions of the simulation. All other values are measured. */
export const assumptions = {
  accessTtl_s: 300,
  /** Share of the signed-in devices that are in use in the busiest minute. */
  shareInUse: 0.1,
  signInsADay: 0.01,
  /** Factor of the mean in the busiest minute. As many users sign out. */
  signInsPeak: 3,
  /** Planned load of a core, of issuers and of Redis. */
  coreShare: 0.6,
  /** Planned use of a Redis server's memory. A rewrite of its file needs the rest. */
  memoryShare: 0.6,
  redisMemory_bytes: 24e9,
  /** Length of an outage. Its requests arrive within `retryWithin_s` after it. */
  outage_s: 10,
  retryWithin_s: 2,
} as const

export type Assumptions = { readonly [K in keyof typeof assumptions]: number }

export const deviceCounts = [1e6, 1e7, 1e8, 1e9] as const
