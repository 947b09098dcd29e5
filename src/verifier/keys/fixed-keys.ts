import type { KeySet } from './key-set.ts'
import type { KeySource } from './key-source.ts'

/** Keys that were given once and never change. */
export function createFixedKeys(set: KeySet): KeySource {
  return {
    find: set.find,
    ready: async () => {},
    refresh: async () => {},
    refreshNow: async () => {},
    status: () => ({
      count: set.count,
      source: 'fixed',
      age_s: null,
      nextRefresh_s: null,
      refused: set.refused,
      lastError: null,
      fileError: null,
    }),
    close: async () => {},
  }
}
