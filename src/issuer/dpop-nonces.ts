import { type Clock, nowSeconds } from '../core/clock.ts'
import { DerivedMac, type Secrets } from '../core/secrets.ts'

/** The issuer hands out a nonce for this long, and accepts it for twice as long. */
const periodSeconds = 120

export interface DpopNoncesOptions {
  /** The `iss` of the issuer. */
  readonly issuer: string
  readonly secrets: Secrets
  /** Largest difference between the clocks of two replicas. */
  readonly clockToleranceSeconds: number
  readonly clock: Clock
}

/**
 * The nonces that an issuer requires in DPoP proofs (RFC 9449 §8), without a store.
 *
 * A nonce is the MAC of a period of time, so every replica knows the nonces of every other replica.
 */
export class DpopNonces {
  readonly #options: DpopNoncesOptions
  readonly #mac: DerivedMac

  constructor(options: DpopNoncesOptions) {
    this.#options = options
    this.#mac = new DerivedMac(options.secrets, 'gatepass dpop nonce')
  }

  /** Returns the nonce of this period. */
  current(): string {
    return this.#mac.of(this.#textOf(nowSeconds(this.#options.clock)))
  }

  /**
   * Accepts the nonces of this period and the previous one, and of the next one if a replica with a
   * fast clock may use it.
   */
  isValid(nonce: string): boolean {
    const { clock, clockToleranceSeconds } = this.#options
    const now = nowSeconds(clock)
    const times = [now, now - periodSeconds, now + clockToleranceSeconds]
    return times.some((time) => this.#mac.isValid(this.#textOf(time), nonce))
  }

  #textOf(seconds: number): string {
    return `${this.#options.issuer} ${Math.floor(seconds / periodSeconds)}`
  }
}
