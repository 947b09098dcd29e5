import { haveSameKeys, type KeySet } from './key-set.ts'

/** Where a set is from, and when it was last known to be its issuer's. */
export interface LoadedSet {
  readonly set: KeySet
  readonly source: 'network' | 'file'
  readonly loadedAtMs: number
  /** So long its issuer means to publish no other one that is used at once. */
  readonly freshForMs: number
}

/** The set that keys are looked up in: replaced whole, and not used beyond its maximum age. */
export class KeysInUse {
  readonly #maxAgeMs: number
  #loaded: LoadedSet | null = null

  constructor(maxAge_s: number) {
    this.#maxAgeMs = maxAge_s * 1000
  }

  /** The last set, however old it is. */
  get loaded(): LoadedSet | null {
    return this.#loaded
  }

  /** The set, if there is one that is not too old. */
  at(nowMs: number): KeySet | null {
    const loaded = this.#loaded
    const isUsable = loaded !== null && nowMs - loaded.loadedAtMs <= this.#maxAgeMs
    return isUsable ? loaded.set : null
  }

  /** Whether there may be keys by now that the set does not have. */
  isStaleAt(nowMs: number): boolean {
    const loaded = this.#loaded
    return loaded === null || nowMs - loaded.loadedAtMs > loaded.freshForMs
  }

  /** @returns whether the keys are others than before */
  replace(loaded: LoadedSet): boolean {
    const previous = this.#loaded?.set ?? null
    this.#loaded = loaded
    return previous === null || !haveSameKeys(previous, loaded.set)
  }
}
