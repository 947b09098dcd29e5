import { type Networks, networksOf } from '../issuer/throttle/network.ts'

export interface ConnectionMaxima {
  /** In total. */
  readonly all: number
  /** Per IPv4 address or IPv6 /56. */
  readonly narrow: number
  /** Per IPv4 /24 or IPv6 /48. */
  readonly wide: number
}

/** Counts open connections and limits them per network, so that no network can use up all. */
export class ConnectionLimits {
  readonly #maxima: ConnectionMaxima
  readonly #open = new Map<string, number>()
  #all = 0

  constructor(maxima: ConnectionMaxima) {
    this.#maxima = maxima
  }

  /** Counts a connection. Returns the function that releases it, or null if a limit is reached. */
  open(address: string): (() => void) | null {
    const networks = networksOf(address)
    if (!this.#hasRoom(networks)) return null
    this.#count(networks, 1)
    return () => this.#count(networks, -1)
  }

  #hasRoom({ narrow, wide }: Networks): boolean {
    return (
      this.#all < this.#maxima.all &&
      (this.#open.get(`narrow ${narrow}`) ?? 0) < this.#maxima.narrow &&
      (this.#open.get(`wide ${wide}`) ?? 0) < this.#maxima.wide
    )
  }

  #count({ narrow, wide }: Networks, change: 1 | -1): void {
    this.#all += change
    for (const key of [`narrow ${narrow}`, `wide ${wide}`]) {
      const open = (this.#open.get(key) ?? 0) + change
      if (open === 0) this.#open.delete(key)
      else this.#open.set(key, open)
    }
  }
}
