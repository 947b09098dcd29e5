import { type Networks, networksOf } from '../issuer/throttle/network.ts'

/** How many places there are, for all, and for those who come from one network. */
export interface PlaceLimits {
  readonly all: number
  readonly narrow: number
  readonly wide: number
}

/** ConnectionLimits that connections take and give back, so that no network has all of them. */
export class ConnectionLimits {
  readonly #limits: PlaceLimits
  readonly #taken = new Map<string, number>()
  #all = 0

  constructor(limits: PlaceLimits) {
    this.#limits = limits
  }

  /** @returns how to give the place back, once; null when there is none for this address */
  take(address: string): (() => void) | null {
    const networks = networksOf(address)
    if (!this.#hasRoom(networks)) return null
    this.#count(networks, 1)
    return () => this.#count(networks, -1)
  }

  #hasRoom({ narrow, wide }: Networks): boolean {
    return (
      this.#all < this.#limits.all &&
      (this.#taken.get(`narrow ${narrow}`) ?? 0) < this.#limits.narrow &&
      (this.#taken.get(`wide ${wide}`) ?? 0) < this.#limits.wide
    )
  }

  #count({ narrow, wide }: Networks, change: 1 | -1): void {
    this.#all += change
    for (const key of [`narrow ${narrow}`, `wide ${wide}`]) {
      const taken = (this.#taken.get(key) ?? 0) + change
      if (taken === 0) this.#taken.delete(key)
      else this.#taken.set(key, taken)
    }
  }
}
