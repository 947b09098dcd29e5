import type { Platform } from './platform.ts'

/** The response of `/login` and `/refresh`. */
export interface TokenResponse {
  readonly access_token: string
  readonly token_type: string
  readonly expires_in: number
  readonly scope: string
  readonly session_id: string
}

/** A token and its age at a time of the wall clock, which all tabs share. */
export interface SharedToken {
  readonly response: TokenResponse
  /** Its greatest possible age. */
  readonly ageMs: number
  readonly wallMs: number
}

type Clocks = Pick<Platform, 'wallMs' | 'monotonicMs'>

/** The client refreshes this long before expiry, or with a third of the lifetime left. */
const refreshMarginMs = 60_000
/**
 * The token is not sent this long before expiry, or with a tenth of the lifetime left, because it
 * must arrive in time.
 */
const sendMarginMs = 5_000

/**
 * An access token and its age. The age never uses the issuer's clock. It is the larger one of two local
 * clocks: the monotonic clock may stop during sleep, and the wall clock may be set back.
 */
export class AccessToken {
  readonly response: TokenResponse
  /** Milliseconds by the wall clock. */
  readonly expiresAtMs: number
  readonly #clocks: Clocks
  readonly #expiresMonotonicMs: number
  readonly #lifetimeMs: number

  constructor({ response, ageMs, wallMs }: SharedToken, clocks: Clocks) {
    this.response = response
    this.#clocks = clocks
    this.#lifetimeMs = response.expires_in * 1000
    const leftMs = this.#lifetimeMs - ageMs - Math.max(0, clocks.wallMs() - wallMs)
    this.#expiresMonotonicMs = clocks.monotonicMs() + leftMs
    this.expiresAtMs = clocks.wallMs() + leftMs
  }

  get ageMs(): number {
    return this.#lifetimeMs - this.leftMs
  }

  get leftMs(): number {
    const { monotonicMs, wallMs } = this.#clocks
    return Math.min(this.#expiresMonotonicMs - monotonicMs(), this.expiresAtMs - wallMs())
  }

  /** Whether the token may be sent. */
  get isValid(): boolean {
    return this.leftMs > Math.min(sendMarginMs, this.#lifetimeMs / 10)
  }

  /** Whether the client should refresh. */
  get isDue(): boolean {
    return this.leftMs < Math.min(refreshMarginMs, this.#lifetimeMs / 3)
  }

  share(): SharedToken {
    return { response: this.response, ageMs: this.ageMs, wallMs: this.#clocks.wallMs() }
  }
}
