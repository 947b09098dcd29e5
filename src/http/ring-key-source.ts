import type { KeyRing } from '../keys/ring.ts'
import { type KeySet, readKeySet } from '../verifier/key-set.ts'
import type { KeySource } from '../verifier/key-source.ts'

/** The issuer's own keys, for the verifier in its own process: nothing is fetched. */
export function createRingKeySource(ring: KeyRing): KeySource {
  let published = ring.publicKeys()
  let keySet = readKeySet({ keys: published })

  /** The ring gives out the same array for as long as the same keys are published. */
  function current(): KeySet {
    const now = ring.publicKeys()
    if (now !== published) {
      keySet = readKeySet({ keys: now })
      published = now
    }
    return keySet
  }

  return {
    find: (kid, alg) => current().find(kid, alg),
    ready: async () => {},
    refresh: async () => {},
    status: () => {
      const { count, refused } = current()
      return { count, refused, age_s: null, lastError: null }
    },
    close: async () => {},
  }
}
