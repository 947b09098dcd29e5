import type { KeyRing } from '../keys/ring.ts'
import { readKeySet } from '../verifier/keys/key-set.ts'
import type { KeySource } from '../verifier/keys/key-source.ts'

/** The issuer's own keys, for the verifier in its own process: nothing is fetched. */
export function createRingKeySource(ring: KeyRing): KeySource {
  let published = ring.publicKeys()
  let keySet = readKeySet({ keys: published })

  /** The ring gives out the same array for as long as the same keys are published. */
  function current() {
    const now = ring.publicKeys()
    if (now !== published) {
      keySet = readKeySet({ keys: now }, keySet)
      published = now
    }
    return keySet
  }

  return {
    find: (kid, alg) => current().find(kid, alg),
    ready: async () => {},
    refresh: async () => {},
    refreshNow: async () => {},
    status: () => ({
      count: current().count,
      source: 'own',
      age_s: null,
      nextRefresh_s: null,
      refused: current().refused,
      lastError: null,
      fileError: null,
    }),
    close: async () => {},
  }
}
