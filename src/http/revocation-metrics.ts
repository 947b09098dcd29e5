import { Gauge, type Registry } from 'prom-client'
import { type RevocationsStatus, revocationStates } from '../verifier/revocation-list.ts'

const gauges = {
  lag_seconds: {
    help: 'Seconds since no revocation was known to be missing.',
    read: ({ lag_s }: RevocationsStatus) => lag_s,
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
