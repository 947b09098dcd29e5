import type { AuthClient } from '../../browser/index.ts'
import type { ReplicaKind } from '../api.ts'
import { issuer } from './server.ts'

/** Requests under way at most: a browser has six connections, and some must stay free. */
const inFlightMax = 4

/** What became of a request. */
export interface Answered {
  readonly request: string
  /** Who answered; null when no replica did. */
  readonly replica: string | null
  /** 0 without an answer. */
  readonly status: number
  readonly tookMs: number
  readonly isFailure: boolean
}

/** What the page sends to replicas, by way of the balancer. Each request is counted. */
export class Traffic {
  readonly statistics = new Statistics()
  readonly #auth: AuthClient
  readonly #listeners: ((answered: Answered) => void)[] = []
  #timer: ReturnType<typeof setInterval> | undefined
  #inFlight = 0
  #count = 0
  #hasShop = false

  constructor(auth: AuthClient) {
    this.#auth = auth
  }

  onAnswer(listener: (answered: Answered) => void): void {
    this.#listeners.push(listener)
  }

  set hasShop(hasShop: boolean) {
    this.#hasShop = hasShop
  }

  /** One request to any replica of a kind. */
  async send(kind: ReplicaKind, path: string, init?: RequestInit): Promise<Response> {
    const startMs = performance.now()
    const request = `${init?.method ?? 'GET'} ${path}`
    const note = (replica: string | null, status: number, isFailure: boolean) => {
      const nowMs = performance.now()
      this.#note({ request, replica, status, tookMs: nowMs - startMs, isFailure }, nowMs)
    }
    try {
      const response = await this.#auth.fetch(`${issuer}/playground/${kind}${path}`, init)
      const { status, headers } = response
      // Who was signed out meanwhile is refused, which is as it should be.
      const isWrong401 = status === 401 && this.#auth.state.status === 'signed-in'
      note(headers.get('x-replica'), status, status >= 500 || isWrong401)
      return response
    } catch (error) {
      note(null, 0, true)
      throw error
    }
  }

  /** Sends requests that only look, so many a second. 0 stops. */
  setRate(perSecond: number): void {
    clearInterval(this.#timer)
    if (perSecond > 0) this.#timer = setInterval(() => this.#look(), 1000 / perSecond)
  }

  #note(answered: Answered, nowMs: number): void {
    const { replica, isFailure } = answered
    if (replica !== null) this.statistics.answered(replica, nowMs)
    if (isFailure) this.statistics.failed(nowMs)
    for (const listener of this.#listeners) listener(answered)
  }

  #look(): void {
    if (this.#auth.state.status !== 'signed-in' || document.hidden) return
    if (this.#inFlight >= inFlightMax) return
    this.#count++
    this.#inFlight++
    const toShop = this.#hasShop && this.#count % 3 === 0
    this.send(toShop ? 'shop' : 'verifier', toShop ? '/cart' : '/verify')
      .then((response) => response.body?.cancel())
      .catch(() => {})
      .finally(() => {
        this.#inFlight--
      })
  }
}

/** Seconds that a chart shows. */
export const shownSeconds = 60

/** What happened within one second. */
export interface Second {
  readonly answers: ReadonlyMap<string, number>
  readonly failures: number
}

const nothing: Second = { answers: new Map(), failures: 0 }

/** Counts answers by replica, and failures, by the second. */
export class Statistics {
  readonly #totals = new Map<string, number>()
  readonly #seconds = new Map<number, { answers: Map<string, number>; failures: number }>()
  #failures = 0

  get failures(): number {
    return this.#failures
  }

  /** How many answers each replica has given, of all that have. */
  get totals(): ReadonlyMap<string, number> {
    return this.#totals
  }

  answered(replica: string, nowMs: number): void {
    this.#totals.set(replica, (this.#totals.get(replica) ?? 0) + 1)
    const { answers } = this.#at(nowMs)
    answers.set(replica, (answers.get(replica) ?? 0) + 1)
  }

  failed(nowMs: number): void {
    this.#failures++
    this.#at(nowMs).failures++
  }

  /** The last whole seconds, oldest first. */
  shown(nowMs: number): readonly Second[] {
    const now = Math.floor(nowMs / 1000)
    return Array.from(
      { length: shownSeconds },
      (_, at) => this.#seconds.get(now - shownSeconds + at) ?? nothing,
    )
  }

  #at(nowMs: number) {
    const second = Math.floor(nowMs / 1000)
    let found = this.#seconds.get(second)
    if (found === undefined) {
      found = { answers: new Map(), failures: 0 }
      this.#seconds.set(second, found)
      this.#seconds.delete(second - shownSeconds - 2)
    }
    return found
  }
}
