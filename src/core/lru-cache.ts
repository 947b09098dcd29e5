/**
 * A cache with a maximum weight. It keeps the last used entries, up to half of that weight at
 * least. The older of two generations is dropped as a whole: deleting single entries makes a Map
 * copy its table again and again, and V8 keeps the old tables.
 */
export class LruCache<V> {
  #maxWeight: number
  readonly #weightOf: (value: V) => number
  #recent = new Generation<V>()
  #older = new Generation<V>()
  #evictions = 0

  /** @param weightOf weight of a value. Default: 1, so that `maxWeight` counts entries. */
  constructor(maxWeight: number, weightOf: (value: V) => number = () => 1) {
    this.#maxWeight = maxWeight
    this.#weightOf = weightOf
  }

  get size(): number {
    return this.#recent.entries.size + this.#older.entries.size
  }

  get weight(): number {
    return this.#recent.weight + this.#older.weight
  }

  /** Number of evicted entries, since the start. */
  get evictions(): number {
    return this.#evictions
  }

  get(name: string): V | undefined {
    const value = this.#recent.entries.get(name)
    if (value !== undefined) return value
    const older = this.#take(this.#older, name)
    if (older !== undefined) this.#add(name, older)
    return older
  }

  /** Like `get`, and is not a use of the entry. */
  peek(name: string): V | undefined {
    return this.#recent.entries.get(name) ?? this.#older.entries.get(name)
  }

  /** Adds or replaces a value. A value heavier than half of the cache is not kept. */
  set(name: string, value: V): void {
    this.delete(name)
    this.#add(name, value)
  }

  delete(name: string): void {
    this.#take(this.#recent, name)
    this.#take(this.#older, name)
  }

  /** Changes the maximum weight. A smaller one takes effect when the next entry is added. */
  resize(maxWeight: number): void {
    this.#maxWeight = maxWeight
  }

  #add(name: string, value: V): void {
    const weight = this.#weightOf(value)
    if (weight > this.#maxWeight / 2) return
    while (
      this.#recent.weight + weight > this.#maxWeight / 2 ||
      this.weight + weight > this.#maxWeight
    ) {
      this.#evictions += this.#older.entries.size
      this.#older = this.#recent
      this.#recent = new Generation()
    }
    this.#recent.entries.set(name, value)
    this.#recent.weight += weight
  }

  #take(generation: Generation<V>, name: string): V | undefined {
    const value = generation.entries.get(name)
    if (value === undefined) return undefined
    generation.entries.delete(name)
    generation.weight -= this.#weightOf(value)
    return value
  }
}

class Generation<V> {
  weight = 0
  readonly entries = new Map<string, V>()
}
