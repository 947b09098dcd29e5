import type { Clock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'

export interface BreakerOptions {
  /** How many failures in a row open it. */
  readonly failuresMax: number
  /** How long it stays open at first; twice as long each time that the probe fails. */
  readonly firstOpenMs: number
  /** The longest that it stays open. */
  readonly openMsMax: number
  readonly clock: Clock
  /** Whether an error says that the other side is out of service; any other is an answer. */
  isFailure(error: unknown): boolean
}

type State =
  | { readonly name: 'closed'; failures: number }
  | { readonly name: 'open'; readonly sinceMs: number; readonly forMs: number }
  | { readonly name: 'probing'; readonly openedForMs: number }

/**
 * A circuit breaker. After some failures in a row it is open: calls are refused at once, without
 * bothering the other side. When its time is over, one call goes through as a probe; the outcome
 * closes the breaker or opens it for twice as long.
 */
export class Breaker {
  readonly #options: BreakerOptions
  #state: State = { name: 'closed', failures: 0 }

  constructor(options: BreakerOptions) {
    this.#options = options
  }

  /** @throws `store_unavailable` while it is open; whatever the call throws */
  async run<T>(call: () => Promise<T>): Promise<T> {
    const begunIn = this.#enter()
    try {
      const result = await call()
      this.#noteAnswer(begunIn)
      return result
    } catch (error) {
      if (this.#options.isFailure(error)) this.#noteFailure(begunIn)
      else this.#noteAnswer(begunIn)
      throw error
    }
  }

  /** The state that a call begins in. */
  #enter(): State {
    const state = this.#state
    if (state.name === 'probing') throw refusal(0)
    if (state.name === 'open') {
      const leftMs = this.#leftMs(state.sinceMs, state.forMs)
      if (leftMs > 0) throw refusal(leftMs)
      this.#state = { name: 'probing', openedForMs: state.forMs }
    }
    return this.#state
  }

  // A call that began in an earlier state says nothing about this one.

  #noteAnswer(begunIn: State): void {
    if (begunIn !== this.#state) return
    if (begunIn.name === 'closed') begunIn.failures = 0
    else this.#state = { name: 'closed', failures: 0 }
  }

  #noteFailure(begunIn: State): void {
    const { failuresMax, firstOpenMs, openMsMax } = this.#options
    if (begunIn !== this.#state) return
    if (begunIn.name === 'probing') this.#open(Math.min(begunIn.openedForMs * 2, openMsMax))
    else if (begunIn.name === 'closed') {
      begunIn.failures += 1
      if (begunIn.failures >= failuresMax) this.#open(firstOpenMs)
    }
  }

  #open(forMs: number): void {
    this.#state = { name: 'open', sinceMs: this.#options.clock.nowMs(), forMs }
  }

  /** If the clock was set back since, the time is over: it must not stay open for hours. */
  #leftMs(sinceMs: number, forMs: number): number {
    const passedMs = this.#options.clock.nowMs() - sinceMs
    return passedMs < 0 ? 0 : forMs - passedMs
  }
}

function refusal(leftMs: number): GatepassError {
  return new GatepassError('store_unavailable', {
    detail: 'The store has not answered lately, and is left alone for a while.',
    retryAfter_s: Math.max(1, Math.ceil(leftMs / 1000)),
  })
}
