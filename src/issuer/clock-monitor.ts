import { uptime } from 'node:os'
import type { Clock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import { SingleFlight } from '../core/single-flight.ts'
import type { SessionStore } from '../stores/ports.ts'

const pollMs = 5_000
/** Smaller offsets are within the precision of the measurement. */
const minSkewMs = 1_000

export interface ClockMonitorOptions {
  readonly sessions: Pick<SessionStore, 'clockMs'>
  readonly clock: Clock
  /** Largest accepted difference between the clocks of two machines. */
  readonly skewMs: number
  /** How long tokens and revocations from before a clock jump remain relevant. */
  readonly keptMs: number
  /** Returns the milliseconds since the machine booted, including time asleep. */
  readonly uptimeMs?: () => number
}

/**
 * Detects a wrong clock of this machine (attack I11), by the clock of a shared session store, or with an
 * embedded store by the uptime of the machine. After a jump it is unknown which time was right, so the
 * monitor accepts the new time once everything from before the jump has expired.
 */
export class ClockMonitor {
  /**
   * The earlier of the machine's time and the store's time, or with an embedded store the accepted time.
   * Code that forgets expired entries uses it, so that no entry is forgotten too soon, whichever clock is
   * ahead.
   */
  readonly expiryClock: Clock
  readonly #options: ClockMonitorOptions
  readonly #skewMs: number
  readonly #uptimeMs: () => number
  readonly #poll = new SingleFlight(() => this.#measure())
  readonly #timer: NodeJS.Timeout
  #offsetMs: number | null = null
  /** The store's time at an instant of `performance.now()`; null if the store has no clock. */
  #storeTime: { readonly storeMs: number; readonly atMs: number } | null = null
  #isWrong = false
  /** The time of the boot by the accepted clock. */
  #bootAtMs: number
  /** The time of the boot that the clock has shown since an uptime. Accepted once it has lasted. */
  #candidate: { readonly bootAtMs: number; readonly seenAtMs: number }

  private constructor(options: ClockMonitorOptions) {
    this.#options = options
    this.#skewMs = Math.max(options.skewMs, minSkewMs)
    this.#uptimeMs = options.uptimeMs ?? (() => uptime() * 1000)
    const seenAtMs = this.#uptimeMs()
    this.#bootAtMs = options.clock.nowMs() - seenAtMs
    this.#candidate = { bootAtMs: this.#bootAtMs, seenAtMs }
    this.expiryClock = {
      nowMs: () => Math.floor(Math.min(options.clock.nowMs(), this.#referenceMs())),
    }
    this.#timer = setInterval(() => this.refresh(), pollMs).unref()
  }

  /** Compares the clocks and starts polling. An unavailable store is polled again. */
  static async open(options: ClockMonitorOptions): Promise<ClockMonitor> {
    const monitor = new ClockMonitor(options)
    await monitor.refresh()
    return monitor
  }

  /** How far the machine's clock is ahead; null if unknown. */
  get offsetMs(): number | null {
    return this.#poll.lastError === null ? this.#offsetMs : null
  }

  /** Compares the clocks. Never rejects; `check` reports the result. */
  refresh(): Promise<void> {
    return this.#poll.run()
  }

  /**
   * Reports the last comparison. A bad result is checked again, so that it ends with its cause.
   *
   * @throws `clock_skew`; `store_unavailable` if the clocks could not be compared
   */
  async check(): Promise<void> {
    if (this.#poll.lastError !== null || this.#isWrong) await this.refresh()
    if (this.#poll.lastError !== null) throw this.#poll.lastError
    if (this.#isWrong) throw new GatepassError('clock_skew')
  }

  /**
   * Checks that verifiers will read the time of a revocation correctly. A shared store dates the
   * revocations of an issuer whose clock is behind. With a clock that is ahead, verifiers would
   * refuse tokens of later logins.
   *
   * @throws `clock_skew`
   */
  async checkSignOut(): Promise<void> {
    // The clock may have been set since the last poll.
    const isOff = Math.abs(this.#options.clock.nowMs() - this.#referenceMs()) > this.#skewMs
    if (isOff || this.#isWrong) await this.#poll.runAgain()
    const isDatedByStore = this.#storeTime !== null && (this.#offsetMs ?? 0) < 0
    if (!this.#isWrong || isDatedByStore) return
    const offsetSeconds = Math.round((this.#offsetMs ?? 0) / 1000)
    throw new GatepassError('clock_skew', {
      detail: `The clock of this machine is off by ${offsetSeconds} s. Set it right, then try again.`,
      retryAfterSeconds: pollMs / 1000,
    })
  }

  /** Stops polling. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#poll.settled()
  }

  async #measure(): Promise<void> {
    const { sessions, clock } = this.#options
    const sentAtMs = performance.now()
    const storeMs = await sessions.clockMs()
    const atMs = performance.now()
    const tripMs = atMs - sentAtMs
    this.#storeTime = storeMs === null ? null : { storeMs: storeMs + tripMs / 2, atMs }
    this.#offsetMs = storeMs === null ? this.#jumpMs() : clock.nowMs() - tripMs / 2 - storeMs
    // The store read its clock at an unknown instant of the round trip.
    const uncertaintyMs = storeMs === null ? 0 : tripMs / 2
    this.#isWrong = Math.abs(this.#offsetMs) - uncertaintyMs > this.#skewMs
  }

  /** Extrapolates the store's time, or the accepted time, with a clock that does not jump. */
  #referenceMs(): number {
    if (this.#storeTime === null) return this.#bootAtMs + this.#uptimeMs()
    const { storeMs, atMs } = this.#storeTime
    return storeMs + performance.now() - atMs
  }

  /**
   * Returns how far the clock has jumped since the accepted time. Small steps, as after each pause of a
   * virtual machine, do not add up to a jump.
   */
  #jumpMs(): number {
    const nowMs = this.#uptimeMs()
    const bootAtMs = this.#options.clock.nowMs() - nowMs
    const { seenAtMs, ...candidate } = this.#candidate
    const isSame = Math.abs(bootAtMs - candidate.bootAtMs) <= this.#skewMs
    const hasLasted = nowMs - seenAtMs >= this.#options.keptMs
    if (isSame && hasLasted) this.#bootAtMs = candidate.bootAtMs
    if (!isSame || hasLasted) this.#candidate = { bootAtMs, seenAtMs: nowMs }
    return bootAtMs - this.#bootAtMs
  }
}
