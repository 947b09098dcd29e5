import type { KeyManager } from '../keys/key-manager.ts'
import { readKeySet } from '../verifier/keys/key-set.ts'
import type { KeySource } from '../verifier/keys/key-source.ts'

/** Creates a key source that reads the keys of the issuer in the same process. */
export function createLocalKeySource(manager: KeyManager): KeySource {
  let published = manager.publicKeys()
  let keySet = readKeySet({ keys: published })

  /** The key manager returns the same array while the published keys are the same. */
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
