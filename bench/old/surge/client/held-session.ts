import { randomUUID } from 'node:crypto'
import { type Answer, type Ask, type ClientScheme, isSession, type Session } from '../system.ts'

/** A replacement is asked for this long before the end, or for a third of its life. */
const dueMs = 60_000
/** It is not sent any more this long before the end, or for a tenth of its life: it has to arrive. */
const lateMs = 5_000
/** After a renewal that failed, one that nobody waits for is not begun for so long. */
const restMs = 5_000

/** What is known after a renewal: a session, that it is over, or nothing new. */
export type Renewal = 'renewed' | 'over' | 'failed'

export interface HeldSessionOptions {
  /** How likely the answer to a renewal is to get lost. */
  readonly lossShare: number
  renewed(): void
}

/**
 * A session on one device, renewed by the rule of gatepass/browser: before its end, while the old token
 * goes on being used; one at a time; with one key an attempt, kept over all its repetitions.
 */
export class HeldSession {
  readonly #scheme: ClientScheme
  readonly #ask: Ask
  readonly #options: HeldSessionOptions
  #session: Session
  #bornMs: number
  #key = ''
  #restingUntilMs = 0
  #underWay: Promise<Renewal> | null = null
  #refusal: Answer | null = null

  /** @param bornMs when the request for it was sent, by performance.now() */
  constructor(
    scheme: ClientScheme,
    ask: Ask,
    first: { session: Session; bornMs: number },
    options: HeldSessionOptions,
  ) {
    this.#scheme = scheme
    this.#ask = ask
    this.#session = first.session
    this.#bornMs = first.bornMs
    this.#options = options
  }

  get session(): Session {
    return this.#session
  }

  /** What the server said when it was over. */
  get refusal(): Answer | null {
    return this.#refusal
  }

  get ageMs(): number {
    return performance.now() - this.#bornMs
  }

  get #leftMs(): number {
    return (this.#session.life_ms ?? Number.POSITIVE_INFINITY) - this.ageMs
  }

  #isWithin(ms: number, share: number): boolean {
    const { life_ms } = this.#session
    return life_ms !== null && this.#leftMs < Math.min(ms, life_ms * share)
  }

  /** Sees to it that the session can be used now. */
  async ensure(): Promise<Renewal> {
    if (this.#isWithin(lateMs, 0.1)) return this.renew()
    // Nobody waits for the next one while this one will do, nor fails with it.
    if (this.#isWithin(dueMs, 1 / 3) && performance.now() >= this.#restingUntilMs) void this.renew()
    return 'renewed'
  }

  renew(): Promise<Renewal> {
    this.#underWay ??= this.#renew().finally(() => {
      this.#underWay = null
    })
    return this.#underWay
  }

  /** Resolves when no renewal is under way. */
  async settled(): Promise<void> {
    await this.#underWay
  }

  async #renew(): Promise<Renewal> {
    const { refresh } = this.#scheme
    if (refresh === undefined) return 'over'
    this.#key ||= randomUUID()
    const sentMs = performance.now()
    const { lossShare } = this.#options
    const ask: Ask = (call) => this.#ask({ ...call, lossShare })
    const result = await refresh(ask, this.#session, this.#key)
    if (isSession(result)) {
      this.#session = result
      this.#bornMs = sentMs
      this.#key = ''
      this.#options.renewed()
      return 'renewed'
    }
    if (isOver(result)) {
      this.#refusal = result
      return 'over'
    }
    this.#restingUntilMs = performance.now() + restMs
    return 'failed'
  }
}

/** Whether the server says that the session has ended, and not that it can't tell now. */
export function isOver({ status }: Answer): boolean {
  return status === 400 || status === 401 || status === 403
}
