import { uptime } from 'node:os'
import type { Clock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import { SingleFlight } from '../core/single-flight.ts'
import type { SessionStore } from '../stores/ports.ts'

/** How often the clocks are compared. */
const pollMs = 5_000
/** No skew is taken for less: neither the way to a store nor the clock since the boot is more exact. */
const skewMinMs = 1_000

export interface ClockMonitorOptions {
  readonly sessions: Pick<SessionStore, 'clockMs'>
  readonly clock: Clock
  /** How far apart the clocks of two machines may be. */
  readonly skewMs: number
  /** For how long what was made by the time before a jump still matters. */
  readonly keptMs: number
  /** Milliseconds since the boot, time asleep included; nobody sets this clock. */
  readonly uptimeMs?: () => number
}

/**
 * Finds out when the clock of this machine is wrong (attack I11).
 *
 * Where replicas share a store, the clock of the store is the measure. A store on this machine has no
 * other clock than ours; there a jump is seen by the time since the boot. Which of the two times was
 * right can't be known. So the new one is taken for right when nothing of the old one matters any more.
 */
export class ClockMonitor {
  /**
   * The earlier of the store's time and ours, for all that forgets what has expired: whichever of the
   * two clocks is ahead, nothing is forgotten too soon.
   */
  readonly expiryClock: Clock
  readonly #options: ClockMonitorOptions
  readonly #skewMs: number
  readonly #uptimeMs: () => number
  readonly #look = new SingleFlight(() => this.#measure())
  readonly #timer: NodeJS.Timeout
  #offsetMs: number | null = null
  /** The store's time at an instant of `performance.now()`; null where it has no clock. */
  #storeTime: { readonly storeMs: number; readonly atMs: number } | null = null
  #isWrong = false
  /** Our time at the boot, by the clock before a jump and by the clock now. */
  #bootAtMs: number
  #jump: { readonly bootAtMs: number; readonly seenAtMs: number } | null = null

  private constructor(options: ClockMonitorOptions) {
    this.#options = options
    this.#skewMs = Math.max(options.skewMs, skewMinMs)
    this.#uptimeMs = options.uptimeMs ?? (() => uptime() * 1000)
    this.#bootAtMs = options.clock.nowMs() - this.#uptimeMs()
    this.expiryClock = {
      nowMs: () => Math.floor(Math.min(options.clock.nowMs(), this.#storeMs())),
    }
    this.#timer = setInterval(() => this.refresh(), pollMs).unref()
  }

  /** Compares the clocks. A store that is away now is asked again. */
  static async open(options: ClockMonitorOptions): Promise<ClockMonitor> {
    const watch = new ClockMonitor(options)
    await watch.refresh()
    return watch
  }

  /** By how much our clock is ahead; null while that is not known. */
  get offsetMs(): number | null {
    return this.#look.lastError === null ? this.#offsetMs : null
  }

  /** Compares the clocks now. Never rejects: `check` says how it went. */
  refresh(): Promise<void> {
    return this.#look.run()
  }

  /** @throws `clock_skew`; `store_unavailable` when the clocks could not be compared */
  check(): void {
    if (this.#look.lastError !== null) throw this.#look.lastError
    if (this.#isWrong) throw new GatepassError('clock_skew')
  }

  /**
   * Checks that verifiers understand when a sign-out of this issuer happened.
   *
   * The store dates the sign-outs of an issuer whose clock is behind. A clock that is ahead dates
   * them itself, which would hold off the user's next sign-ins for as long; and a store without a
   * clock of its own takes every time for right.
   *
   * @throws `clock_skew`
   */
  checkSignOut(): void {
    const isDatedByStore = this.#storeTime !== null && (this.#offsetMs ?? 0) < 0
    if (!this.#isWrong || isDatedByStore) return
    const offSeconds = Math.round((this.#offsetMs ?? 0) / 1000)
    throw new GatepassError('clock_skew', {
      detail: `The clock of this machine is off by ${offSeconds} s. Set it right, then try again.`,
      retryAfterSeconds: pollMs / 1000,
    })
  }

  /** Stops to look. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#look.settled()
  }

  async #measure(): Promise<void> {
    const { sessions, clock } = this.#options
    const sentAtMs = performance.now()
    const storeMs = await sessions.clockMs()
    const atMs = performance.now()
    const tripMs = atMs - sentAtMs
    this.#storeTime = storeMs === null ? null : { storeMs: storeMs + tripMs / 2, atMs }
    this.#offsetMs = storeMs === null ? this.#jumpMs() : clock.nowMs() - tripMs / 2 - storeMs
    // The store read its clock at some time of the trip: only what is beyond doubt counts.
    const doubtMs = storeMs === null ? 0 : tripMs / 2
    this.#isWrong = Math.abs(this.#offsetMs) - doubtMs > this.#skewMs
  }

  /** The store's time, which goes on between two looks by a clock that nobody sets. */
  #storeMs(): number {
    if (this.#storeTime === null) return Number.POSITIVE_INFINITY
    const { storeMs, atMs } = this.#storeTime
    return storeMs + performance.now() - atMs
  }

  /** By how much our clock has jumped, for as long as that matters. */
  #jumpMs(): number {
    const nowMs = this.#uptimeMs()
    const bootAtMs = this.#options.clock.nowMs() - nowMs
    const isSame = (otherMs: number) => Math.abs(bootAtMs - otherMs) <= this.#skewMs
    if (isSame(this.#bootAtMs)) {
      this.#jump = null
    } else if (this.#jump === null || !isSame(this.#jump.bootAtMs)) {
      this.#jump = { bootAtMs, seenAtMs: nowMs }
    } else if (nowMs - this.#jump.seenAtMs >= this.#options.keptMs) {
      this.#bootAtMs = bootAtMs
      this.#jump = null
    }
    return bootAtMs - this.#bootAtMs
  }
}
