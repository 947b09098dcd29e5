import { type BackoffLimits, backoffMs } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'

/** Consecutive failures that open a circuit. */
export const maxFailures = 5

export interface CircuitBreakerOptions {
  /** How long the circuit stays open. The period doubles after each failed probe. */
  readonly openFor: BackoffLimits
  readonly clock: Clock
  /**
   * Whether an error means that the other side is out of service. Any other error counts as an
   * answer.
   */
  isFailure(error: unknown): boolean
}

type State =
  | { readonly name: 'closed'; failures: number }
  | {
      readonly name: 'open'
      readonly sinceMs: number
      readonly forMs: number
      readonly probes: number
    }
  | { readonly name: 'half-open'; readonly probes: number }

/**
 * A circuit breaker: while the other side is out of service, calls fail immediately.
 *
 * Consecutive failures open the circuit. After the open period one call goes through as a probe. An
 * answer closes the circuit; a failure opens it again, for longer.
 */
export class CircuitBreaker {
  readonly #options: CircuitBreakerOptions
  #state: State = { name: 'closed', failures: 0 }
  /** Each rejected call reports this cause of the outage. */
  #lastFailure: unknown

  constructor(options: CircuitBreakerOptions) {
    this.#options = options
  }

  /** @throws `store_unavailable` while the circuit is open; the error of the call */
  async run<T>(call: () => Promise<T>): Promise<T> {
    const state = this.#admit()
    try {
      const result = await call()
      this.#recordAnswer(state)
      return result
    } catch (error) {
      if (this.#options.isFailure(error)) this.#recordFailure(state, error)
      else this.#recordAnswer(state)
      throw error
    }
  }

  /** Returns the state in which the call starts, or rejects the call. */
  #admit(): State {
    const state = this.#state
    if (state.name === 'half-open') throw this.#circuitOpen(0)
    if (state.name === 'open') {
      const elapsedMs = this.#options.clock.nowMs() - state.sinceMs
      // A clock that was set back must not keep the circuit open for hours.
      if (elapsedMs >= 0 && elapsedMs < state.forMs)
        throw this.#circuitOpen(state.forMs - elapsedMs)
      this.#state = { name: 'half-open', probes: state.probes + 1 }
    }
    return this.#state
  }

  #recordAnswer(startedIn: State): void {
    if (startedIn.name === 'closed') startedIn.failures = 0
    else this.#state = { name: 'closed', failures: 0 }
  }

  #recordFailure(startedIn: State, error: unknown): void {
    // A call that started in an earlier state says nothing about the current state.
    if (startedIn !== this.#state) return
    this.#lastFailure = error
    if (startedIn.name === 'half-open') this.#open(startedIn.probes)
    else if (startedIn.name === 'closed') {
      startedIn.failures += 1
      if (startedIn.failures >= maxFailures) this.#open(0)
    }
  }

  /** @param probes failed probes in a row */
  #open(probes: number): void {
    const { clock, openFor } = this.#options
    const forMs = backoffMs(probes, openFor)
    this.#state = { name: 'open', sinceMs: clock.nowMs(), forMs, probes }
  }

  #circuitOpen(remainingMs: number): GatepassError {
    return new GatepassError('store_unavailable', {
      detail: 'The store is not responding; calls are blocked until it has recovered.',
      retryAfterSeconds: Math.max(1, Math.ceil(remainingMs / 1000)),
      cause: this.#lastFailure,
    })
  }
}
