/** Bounds for a product in a cart, from acknowledged and unknown changes. */
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
 * The state of the cart that a user knows. An acknowledged addition raises both bounds. A failed addition
 * is unknown and raises only the upper bound.
 */
export class CartBook {
  #products = new Map<string, Bounds>()
  /** Whether the content is unknown: after a sign-out, which may end the cart or not. */
  #isUnknown = false

  get isEmpty(): boolean {
    return [...this.#products.values()].every(({ least }) => least === 0)
  }

  added(product: string, quantity: number, isAcknowledged: boolean): void {
    const { least, most } = this.#of(product)
    const sure = isAcknowledged ? quantity : 0
    this.#products.set(product, { least: least + sure, most: most + quantity })
  }

  /** Records a checkout. An acknowledged checkout has emptied the cart. */
  emptied(isAcknowledged: boolean): void {
    for (const [product, { most }] of this.#products) {
      this.#products.set(product, { least: 0, most: isAcknowledged ? 0 : most })
    }
  }

  /** The next comparison adopts the content. */
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
      // Unknown changes may still arrive late.
      this.#products.set(one, { least, most: Math.max(least, this.#of(one).most) })
    }
    return { lost, doubled }
  }

  #of(product: string): Bounds {
    return this.#products.get(product) ?? { least: 0, most: 0 }
  }
}
