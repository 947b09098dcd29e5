import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, noAnswer } from '../harness/http.ts'
import { type Ask, type Call, type ClientScheme, isSession, type Session } from './system.ts'

const maxTries = 6
/** The first pause. Each pause is twice as long as the previous pause, plus or minus a half. */
const minPauseMs = 300
const maxPauseMs = 2_000
/** A longer `Retry-After` makes the client give up. */
const maxRetryAfterMs = 10_000

/**
 * Retries like @gatepass/browser, with two more attempts: after no response, 429, 502, 503 and 504. It
 * waits for the longer of `Retry-After` and a growing pause. Any other response is final.
 */
export function createAsk(send: (call: Call) => Promise<Answer>): Ask {
  return async (call) => {
    for (let tries = 1; ; tries++) {
      const sent = await send(call)
      const answer = Math.random() < (call.lossShare ?? 0) ? noAnswer('lost on the way') : sent
      const { status, headers } = answer
      const isTemporary = status === 0 || status === 429 || (status >= 502 && status <= 504)
      const pauseMs = pauseOf(headers, tries)
      if (!isTemporary || tries === maxTries || pauseMs > maxRetryAfterMs) return answer
      await sleep(pauseMs)
    }
  }
}

function pauseOf(headers: Answer['headers'], tries: number): number {
  const backoffMs = Math.min(maxPauseMs, minPauseMs * 2 ** (tries - 1)) * (0.5 + Math.random())
  return Math.max(Number(headers['retry-after'] ?? 0) * 1000, backoffMs)
}

/** The client refreshes this long before the token expires, or a third of its lifetime if that is shorter. */
const refreshAheadMs = 60_000
/** The client stops sending a token this long before it expires, or a tenth of its lifetime. */
const expiryMarginMs = 5_000

export type Renewal = 'renewed' | 'over' | 'failed'

/**
 * A session on one device, which refreshes like @gatepass/browser: early, while the old token still works,
 * and one refresh at a time. All retries of a refresh have the same idempotency key.
 */
export class HeldSession {
  readonly #scheme: ClientScheme
  readonly #ask: Ask
  readonly #onRefresh: () => void
  session: Session
  /** The response that ended the session. */
  refusal: Answer | null = null
  #bornMs: number
  #key = ''
  #renewing: Promise<Renewal> | null = null

  /** @param ask sends the refreshes, whose responses may get lost */
  constructor(scheme: ClientScheme, ask: Ask, first: Session, onRefresh: () => void) {
    this.#scheme = scheme
    this.#ask = ask
    this.session = first
    this.#bornMs = performance.now()
    this.#onRefresh = onRefresh
  }

  get ageMs(): number {
    return performance.now() - this.#bornMs
  }

  async ensure(): Promise<Renewal> {
    if (this.#endsWithin(expiryMarginMs, 0.1)) return this.renew()
    // A background refresh neither delays nor fails a request while this token is valid.
    if (this.#endsWithin(refreshAheadMs, 1 / 3)) void this.renew()
    return 'renewed'
  }

  renew(): Promise<Renewal> {
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = null
    })
    return this.#renewing
  }

  /** Resolves when no refresh is in progress. */
  async settled(): Promise<void> {
    await this.#renewing
  }

  #endsWithin(ms: number, share: number): boolean {
    const { lifetimeMs } = this.session
    return lifetimeMs !== null && lifetimeMs - this.ageMs < Math.min(ms, lifetimeMs * share)
  }

  async #renew(): Promise<Renewal> {
    const { refresh } = this.#scheme
    if (refresh === undefined) return 'over'
    this.#key ||= randomUUID()
    const sentMs = performance.now()
    const result = await refresh(this.#ask, this.session, this.#key)
    if (isSession(result)) {
      this.session = result
      this.#bornMs = sentMs
      this.#key = ''
      this.#onRefresh()
      return 'renewed'
    }
    // After any other response, the session may still be valid.
    if ([400, 401, 403].includes(result.status)) {
      this.refusal = result
      return 'over'
    }
    return 'failed'
  }
}
