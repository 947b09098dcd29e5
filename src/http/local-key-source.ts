import type { KeyManager } from '../keys/key-manager.ts'
import { readKeySet } from '../verifier/keys/key-set.ts'
import type { KeySource } from '../verifier/keys/key-source.ts'

/** Creates the key source of a verifier in the issuer's own process. Nothing is fetched. */
export function createLocalKeySource(manager: KeyManager): KeySource {
  let published = manager.publicKeys()
  let keySet = readKeySet({ keys: published })

  /** The manager returns the same array as long as the same keys are published. */
  function current() {
    const latest = manager.publicKeys()
    if (latest !== published) {
      keySet = readKeySet({ keys: latest }, keySet)
      published = latest
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
      ageSeconds: null,
      nextRefreshSeconds: null,
      refused: current().refused,
      lastError: null,
      fileError: null,
    }),
    close: async () => {},
  }
}
