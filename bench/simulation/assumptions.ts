/** Assumptions of the simulation. All other values are measured. */
export const assumptions = {
  accessTtl_s: 300,
  /** Of the devices that are signed in, in the busiest minute. */
  shareInUse: 0.1,
  signInsADay: 0.01,
  /** How many times the mean, in the busiest minute. As many sign out. */
  signInsPeak: 3,
  /** How full a core is planned to be, of issuers and of Redis. */
  coreShare: 0.6,
  /** How full the memory of a Redis may be: a rewrite of its file needs the rest. */
  memoryShare: 0.6,
  redisMemory_bytes: 24e9,
  /** Nobody is answered for so long; what was due comes within as much of the time after as below. */
  outage_s: 10,
  retryWithin_s: 2,
} as const

export type Assumptions = { readonly [K in keyof typeof assumptions]: number }

export const deviceCounts = [1e6, 1e7, 1e8, 1e9] as const
