import type { Clock } from '../../core/clock.ts'

/** When a follower last knew that it had missed nothing. */
export class Freshness {
  readonly #clock: Clock
  readonly #toleranceMs: number
  readonly #startedAtMs: number
  #provenAtMs: number | null = null

  constructor(clock: Clock, clockTolerance_s: number) {
    this.#clock = clock
    this.#toleranceMs = clockTolerance_s * 1000
    this.#startedAtMs = clock.nowMs()
  }

  /** Notes that nothing was missing now, or at a time by the clock of the issuer. */
  prove(issuer_s = Number.POSITIVE_INFINITY): void {
    // By the clock tolerance in favour of the issuer, and never in the future.
    const atMs = Math.min(this.#clock.nowMs(), issuer_s * 1000 + this.#toleranceMs)
    const before = this.#isSetBack() ? null : this.#provenAtMs
    this.#provenAtMs = Math.max(atMs, before ?? Number.NEGATIVE_INFINITY)
  }

  /** Seconds since then; before the first time, since the start. */
  lag_s(): number {
    const lagMs = this.#clock.nowMs() - (this.#provenAtMs ?? this.#startedAtMs)
    return Math.max(0, lagMs) / 1000
  }

  /** The same for who must not be wrong: Infinity before the first time, or if time went back. */
  staleness_s(): number {
    if (this.#provenAtMs === null || this.#isSetBack()) return Number.POSITIVE_INFINITY
    return this.lag_s()
  }

  /** A clock that was set back would make old proof look new. */
  #isSetBack(): boolean {
    return this.#clock.nowMs() < (this.#provenAtMs ?? 0) - this.#toleranceMs
  }
}
