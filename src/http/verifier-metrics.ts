import { Counter, Gauge, type Registry } from 'prom-client'
import type { KeySourceStatus } from '../verifier/keys/key-source.ts'
import {
  type RevocationsStatus,
  revocationStates,
} from '../verifier/revocations/revocation-list.ts'
import type { VerifierStatus } from '../verifier/status.ts'
import type { TokenCacheStatus } from '../verifier/token-cache.ts'

const keySources = ['network', 'file', 'fixed', 'own', 'none'] as const

const cacheCounters = {
  hits: 'Tokens that were found in the cache.',
  misses: 'Tokens whose signature was verified.',
  evictions: 'Tokens that were evicted for other tokens.',
} as const satisfies Partial<Record<keyof TokenCacheStatus, string>>

const cacheGauges = {
  tokens: 'Cached tokens.',
  bytes: 'Estimated memory of the cached tokens.',
} as const satisfies Partial<Record<keyof TokenCacheStatus, string>>

/**
 * Registers the metrics of a verifier: outcomes, token cache and keys. The verifier counts, so a
 * request costs nothing here.
 *
 * @param status called at each scrape
 */
export function observeVerifier(registry: Registry, status: () => VerifierStatus): void {
  const registers = [registry]
  new Counter({
    name: 'gatepass_verifications_total',
    help: 'Verified tokens, by outcome.',
    labelNames: ['outcome'],
    registers,
    collect() {
      this.reset()
      for (const [outcome, count] of Object.entries(status().outcomes)) this.inc({ outcome }, count)
    },
  })
  observeCache(registers, () => status().cache)
  observeKeys(registers, () => status().keys)
}

/** Without a cache every value is 0. */
function observeCache(registers: Registry[], status: () => TokenCacheStatus | null): void {
  for (const [name, help] of entriesOf(cacheCounters)) {
    new Counter({
      name: `gatepass_token_cache_${name}_total`,
      help,
      registers,
      collect() {
        this.reset()
        this.inc(status()?.[name] ?? 0)
      },
    })
  }
  for (const [name, help] of entriesOf(cacheGauges)) {
    new Gauge({
      name: `gatepass_token_cache_${name}`,
      help,
      registers,
      collect() {
        this.set(status()?.[name] ?? 0)
      },
    })
  }
}

/** Of several processes the worst value counts. */
function observeKeys(registers: Registry[], status: () => KeySourceStatus): void {
  new Gauge({
    name: 'gatepass_keys',
    help: 'Usable keys.',
    aggregator: 'min',
    registers,
    collect() {
      this.set(status().count)
    },
  })
  new Gauge({
    name: 'gatepass_keys_age_seconds',
    help: 'Seconds since the keys were fetched or confirmed.',
    aggregator: 'max',
    registers,
    collect() {
      const { ageSeconds } = status()
      if (ageSeconds === null) this.remove()
      else this.set(ageSeconds)
    },
  })
  new Gauge({
    name: 'gatepass_keys_refresh_failed',
    help: '1 if the last fetch of the keys failed.',
    aggregator: 'max',
    registers,
    collect() {
      this.set(status().lastError === null ? 0 : 1)
    },
  })
  new Gauge({
    name: 'gatepass_keys_file_failed',
    help: '1 if the file of keys could not be read or written.',
    aggregator: 'max',
    registers,
    collect() {
      this.set(status().fileError === null ? 0 : 1)
    },
  })
  new Gauge({
    name: 'gatepass_keys_source',
    help: 'Processes by the source of their keys.',
    labelNames: ['source'],
    registers,
    collect() {
      const now = status().source ?? 'none'
      for (const source of keySources) this.set({ source }, source === now ? 1 : 0)
    },
  })
}

function entriesOf<T extends object>(record: T): [keyof T & string, string][] {
  return Object.entries(record) as [keyof T & string, string][]
}

const revocationGauges = {
  lag_seconds: {
    help: 'Seconds since the revocation list was known to be complete.',
    read: ({ lagSeconds }: RevocationsStatus) => lagSeconds,
  },
  entries: {
    help: 'Revoked sessions, users and keys in memory.',
    read: ({ entries }: RevocationsStatus) => entries,
  },
  coarsened: {
    help: 'How often the memory limit replaced the oldest entries by one rule for all users.',
    read: ({ coarsened }: RevocationsStatus) => coarsened,
  },
}

/**
 * Registers the metrics of the revocation feed. Of several processes the worst value counts.
 *
 * @param status called at each scrape
 */
export function observeRevocations(registry: Registry, status: () => RevocationsStatus): void {
  for (const [name, { help, read }] of Object.entries(revocationGauges)) {
    new Gauge({
      name: `gatepass_revocations_${name}`,
      help,
      aggregator: 'max',
      registers: [registry],
      collect() {
        this.set(read(status()))
      },
    })
  }
  new Gauge({
    name: 'gatepass_revocations_state',
    help: 'Processes by the state of their revocation feed.',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      const now = status().state
      for (const state of revocationStates) this.set({ state }, state === now ? 1 : 0)
    },
  })
}
