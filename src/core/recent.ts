/**
 * What was used of late, by name. When it weighs too much, the half that was not used for longest goes
 * at once: so a look costs a look-up and no more.
 */
export class Recent<V> {
  readonly #halfWeight: number
  readonly #weightOf: (value: V) => number
  #newer = new Map<string, V>()
  #older = new Map<string, V>()
  /** Of the newer ones. */
  #weight = 0

  /** @param weightMax of all of it; each weighs 1 unless told otherwise */
  constructor(weightMax: number, weightOf: (value: V) => number = () => 1) {
    this.#halfWeight = weightMax / 2
    this.#weightOf = weightOf
  }

  get(name: string): V | undefined {
    const newer = this.#newer.get(name)
    if (newer !== undefined) return newer
    const older = this.#older.get(name)
    if (older !== undefined) this.set(name, older)
    return older
  }

  /** One that alone weighs more than half of all is not kept. */
  set(name: string, value: V): void {
    const weight = this.#weightOf(value)
    const replaced = this.#newer.get(name)
    if (replaced !== undefined) this.#weight -= this.#weightOf(replaced)
    this.#newer.delete(name)
    this.#older.delete(name)
    if (weight > this.#halfWeight) return
    if (this.#weight + weight > this.#halfWeight) {
      this.#older = this.#newer
      this.#newer = new Map()
      this.#weight = 0
    }
    this.#newer.set(name, value)
    this.#weight += weight
  }
}
