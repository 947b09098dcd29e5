/** How many items of a product a cart must and may contain. */
interface Bounds {
  readonly least: number
  readonly most: number
}

export interface CartItem {
  readonly product: string
  readonly quantity: number
}

export interface CartDifference {
  /** Products with fewer items than acknowledged. */
  readonly lost: readonly string[]
  /** Products with more items than were ever added. */
  readonly doubled: readonly string[]
}

/**
 * The content of a cart, as its user knows it. An acknowledged addition raises both bounds. A failed
 * addition may have been stored, so it raises only the upper bound.
 */
export class CartBook {
  #products = new Map<string, Bounds>()
  /** Whether the content is unknown: a sign-out may or may not end the cart. */
  #isUnknown = false

  get isEmpty(): boolean {
    return [...this.#products.values()].every(({ least }) => least === 0)
  }

  added(product: string, quantity: number, isAcknowledged: boolean): void {
    const { least, most } = this.#of(product)
    const acknowledged = isAcknowledged ? quantity : 0
    this.#products.set(product, { least: least + acknowledged, most: most + quantity })
  }

  /** Records a checkout, which has emptied the cart if it is acknowledged. */
  emptied(isAcknowledged: boolean): void {
    for (const [product, { most }] of this.#products) {
      this.#products.set(product, { least: 0, most: isAcknowledged ? 0 : most })
    }
  }

  /** Forgets the cart. The next comparison adopts its content. */
  forget(): void {
    this.#products.clear()
    this.#isUnknown = true
  }

  compare(items: readonly CartItem[]): CartDifference {
    const there = new Map(items.map(({ product, quantity }) => [product, quantity]))
    const all = new Set([...this.#products.keys(), ...there.keys()])
    const lost = [...all].filter((one) => (there.get(one) ?? 0) < this.#of(one).least)
    const doubled = this.#isUnknown
      ? []
      : [...all].filter((one) => (there.get(one) ?? 0) > this.#of(one).most)
    this.#isUnknown = false
    for (const one of all) {
      const least = there.get(one) ?? 0
      // A change without an answer may still be stored later.
      this.#products.set(one, { least, most: Math.max(least, this.#of(one).most) })
    }
    return { lost, doubled }
  }

  #of(product: string): Bounds {
    return this.#products.get(product) ?? { least: 0, most: 0 }
  }
}
