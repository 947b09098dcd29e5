/** A cache with a maximum weight. It evicts the entries that were not used for the longest time. */
export class LruCache<V> {
  readonly #maxWeight: number
  readonly #weightOf: (value: V) => number
  /** Least recently used first. */
  readonly #entries = new Map<string, V>()
  readonly #nextOldest = createOldestKeys(this.#entries)
  #weight = 0

  /** @param weightOf weight of a value. Default: 1, so that `maxWeight` counts entries. */
  constructor(maxWeight: number, weightOf: (value: V) => number = () => 1) {
    this.#maxWeight = maxWeight
    this.#weightOf = weightOf
  }

  get(name: string): V | undefined {
    const value = this.#entries.get(name)
    if (value !== undefined) {
      this.#entries.delete(name)
      this.#entries.set(name, value)
    }
    return value
  }

  /** Adds or replaces a value. A value heavier than the cache is not kept. */
  set(name: string, value: V): void {
    this.#delete(name)
    const weight = this.#weightOf(value)
    if (weight > this.#maxWeight) return
    this.#entries.set(name, value)
    this.#weight += weight
    while (this.#weight > this.#maxWeight) {
      const oldest = this.#nextOldest()
      if (oldest === undefined) break
      this.#delete(oldest)
    }
  }

  #delete(name: string): void {
    const value = this.#entries.get(name)
    if (value === undefined) return
    this.#entries.delete(name)
    this.#weight -= this.#weightOf(value)
  }
}

/**
 * Returns a function that returns the oldest key of a map. The caller deletes each key that it gets.
 *
 * A new iterator passes all deleted entries at the start of the map; this one passes each entry once.
 */
export function createOldestKeys<K>(map: ReadonlyMap<K, unknown>): () => K | undefined {
  let keys = map.keys()
  return () => {
    let next = keys.next()
    if (next.done) {
      keys = map.keys()
      next = keys.next()
    }
    return next.value
  }
}
