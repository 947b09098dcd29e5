/**
 * A cache with a maximum weight. It keeps the last used entries, up to half of that weight at
 * least. The older of two generations is dropped as a whole: deleting single entries makes a Map
 * copy its table again and again, and V8 keeps the old tables.
 */
export class LruCache<V> {
  readonly #maxWeight: number
  readonly #weightOf: (value: V) => number
  #recent = new Generation<V>()
  #older = new Generation<V>()

  /** @param weightOf weight of a value. Default: 1, so that `maxWeight` counts entries. */
  constructor(maxWeight: number, weightOf: (value: V) => number = () => 1) {
    this.#maxWeight = maxWeight
    this.#weightOf = weightOf
  }

  get weight(): number {
    return this.#recent.weight + this.#older.weight
  }

  get(key: string): V | undefined {
    const value = this.#recent.entries.get(key)
    if (value !== undefined) return value
    const older = this.#take(this.#older, key)
    if (older !== undefined) this.#add(key, older)
    return older
  }

  /** Returns the value of a key, and adds it if it is missing. */
  getOrAdd(key: string, create: () => V): V {
    const known = this.get(key)
    if (known !== undefined) return known
    const created = create()
    this.set(key, created)
    return created
  }

  /** Adds or replaces a value. A value heavier than half of the cache is not kept. */
  set(key: string, value: V): void {
    this.delete(key)
    this.#add(key, value)
  }

  delete(key: string): void {
    this.#take(this.#recent, key)
    this.#take(this.#older, key)
  }

  #add(key: string, value: V): void {
    const weight = this.#weightOf(value)
    if (weight > this.#maxWeight / 2) return
    while (
      this.#recent.weight + weight > this.#maxWeight / 2 ||
      this.weight + weight > this.#maxWeight
    ) {
      this.#older = this.#recent
      this.#recent = new Generation()
    }
    this.#recent.entries.set(key, value)
    this.#recent.weight += weight
  }

  #take(generation: Generation<V>, key: string): V | undefined {
    const value = generation.entries.get(key)
    if (value === undefined) return undefined
    generation.entries.delete(key)
    generation.weight -= this.#weightOf(value)
    return value
  }
}

class Generation<V> {
  weight = 0
  readonly entries = new Map<string, V>()
}
