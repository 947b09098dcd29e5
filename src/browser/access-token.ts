import type { Platform } from './platform.ts'

/** An answer of `/login` or `/refresh`. */
export interface TokenAnswer {
  readonly access_token: string
  readonly token_type: string
  readonly expires_in: number
  readonly scope: string
  readonly session_id: string
}

/** A token as it goes from tab to tab: with its age at an instant of the wall clock they share. */
export interface SharedToken {
  readonly answer: TokenAnswer
  readonly ageMs: number
  readonly wallMs: number
}

type Clocks = Pick<Platform, 'wallMs' | 'monotonicMs'>

/** A replacement is asked for this long before the end, or for a third of its life. */
const dueMs = 60_000
/** It is not sent any more this long before the end, or for a tenth of its life: it has to arrive. */
const lateMs = 5_000

/**
 * An access token and its age. No clock of this machine is compared with one of the issuer; and the
 * age is what the faster of two clocks says, as one stands still in sleep, and the other is set back.
 */
export class HeldToken {
  readonly answer: TokenAnswer
  /** By the wall clock. */
  readonly expiresAtMs: number
  readonly #clocks: Clocks
  readonly #bornMonotonicMs: number
  readonly #lifeMs: number

  /** @param ageMs how old it is now, at most: since the request for it was sent */
  constructor(answer: TokenAnswer, ageMs: number, clocks: Clocks) {
    this.answer = answer
    this.#clocks = clocks
    this.#bornMonotonicMs = clocks.monotonicMs() - ageMs
    this.#lifeMs = answer.expires_in * 1000
    this.expiresAtMs = clocks.wallMs() - ageMs + this.#lifeMs
  }

  static shared({ answer, ageMs, wallMs }: SharedToken, clocks: Clocks): HeldToken {
    return new HeldToken(answer, ageMs + Math.max(0, clocks.wallMs() - wallMs), clocks)
  }

  get ageMs(): number {
    const { monotonicMs, wallMs } = this.#clocks
    const byWallMs = wallMs() - this.expiresAtMs + this.#lifeMs
    return Math.max(monotonicMs() - this.#bornMonotonicMs, byWallMs)
  }

  get leftMs(): number {
    return this.#lifeMs - this.ageMs
  }

  /** Whether it may still be sent. */
  get isGood(): boolean {
    return this.leftMs > Math.min(lateMs, this.#lifeMs / 10)
  }

  /** Whether the next one should be asked for. */
  get isDue(): boolean {
    return this.leftMs < Math.min(dueMs, this.#lifeMs / 3)
  }

  share(): SharedToken {
    return { answer: this.answer, ageMs: this.ageMs, wallMs: this.#clocks.wallMs() }
  }
}
