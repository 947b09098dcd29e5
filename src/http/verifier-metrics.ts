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
  hits: 'Tokens that had been found good before.',
  misses: 'Tokens whose signature had to be checked.',
  evictions: 'Tokens that made room for others.',
} as const satisfies Partial<Record<keyof TokenCacheStatus, string>>

const cacheGauges = {
  tokens: 'Tokens that are kept.',
  bytes: 'An estimate of the memory that they take.',
} as const satisfies Partial<Record<keyof TokenCacheStatus, string>>

/**
 * Measures what a verifier does: outcomes, token cache, keys. Nothing is done at a request; the
 * verifier counts by itself and is asked at each look. Every label is from a list of ours.
 *
 * @param status asked at each look
 */
export function observeVerifier(registry: Registry, status: () => VerifierStatus): void {
  const registers = [registry]
  new Counter({
    name: 'gatepass_verifications_total',
    help: 'Tokens that were checked, by what came of it.',
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

/** A verifier without a cache has figures that stay at 0. */
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

/** Of several processes, the one that is worst off counts. */
function observeKeys(registers: Registry[], status: () => KeySourceStatus): void {
  new Gauge({
    name: 'gatepass_keys',
    help: 'Keys that tokens can be checked with.',
    aggregator: 'min',
    registers,
    collect() {
      this.set(status().count)
    },
  })
  new Gauge({
    name: 'gatepass_keys_age_seconds',
    help: 'Seconds since the keys were loaded or confirmed.',
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
    help: '1 when the last attempt to load the keys failed.',
    aggregator: 'max',
    registers,
    collect() {
      this.set(status().lastError === null ? 0 : 1)
    },
  })
  new Gauge({
    name: 'gatepass_keys_source',
    help: 'Processes that have their keys from the network, from a file, otherwise, or not at all.',
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

const gauges = {
  lag_seconds: {
    help: 'Seconds since no revocation was known to be missing.',
    read: ({ lagSeconds }: RevocationsStatus) => lagSeconds,
  },
  entries: {
    help: 'Sessions, users and keys that are refused.',
    read: ({ entries }: RevocationsStatus) => entries,
  },
  coarsened: {
    help: 'How often there were too many, so that the oldest became one rule for all.',
    read: ({ coarsened }: RevocationsStatus) => coarsened,
  },
}

/**
 * Measures how well a verifier hears of revocations. Of several processes, the one that is worst off
 * counts.
 *
 * @param status asked at each look
 */
export function observeRevocations(registry: Registry, status: () => RevocationsStatus): void {
  for (const [name, { help, read }] of Object.entries(gauges)) {
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
    help: 'Processes that have their news by the stream, by polls, or not at all.',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      const now = status().state
      for (const state of revocationStates) this.set({ state }, state === now ? 1 : 0)
    },
  })
}
