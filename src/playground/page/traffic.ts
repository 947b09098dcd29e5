import type { AuthClient } from '../../browser/index.ts'
import type { ReplicaKind } from '../api.ts'
import { issuer } from './server.ts'

/**
 * Limit for concurrent requests: a browser has six connections per site, and the page needs some of
 * them.
 */
const maxInFlight = 4

/** The outcome of a request. */
export interface ReplicaResponse {
  readonly request: string
  /** null if no replica responded. */
  readonly replica: string | null
  /** The HTTP status; 0 without a response. */
  readonly status: number
  readonly tookMs: number
  readonly isFailure: boolean
}

/** Sends requests to replicas through the load balancer and counts the responses. */
export class Traffic {
  readonly statistics = new Statistics()
  hasShop = false
  readonly #auth: AuthClient
  readonly #listeners: ((response: ReplicaResponse) => void)[] = []
  #timer: ReturnType<typeof setInterval> | undefined
  #inFlight = 0
  #count = 0

  constructor(auth: AuthClient) {
    this.#auth = auth
  }

  onResponse(listener: (response: ReplicaResponse) => void): void {
    this.#listeners.push(listener)
  }

  /** Sends one request to any replica of a kind. */
  async send(kind: ReplicaKind, path: string, init?: RequestInit): Promise<Response> {
    const startMs = performance.now()
    const request = `${init?.method ?? 'GET'} ${path}`
    const record = (replica: string | null, status: number, isFailure: boolean) => {
      const nowMs = performance.now()
      this.#record({ request, replica, status, tookMs: nowMs - startMs, isFailure }, nowMs)
    }
    try {
      const response = await this.#auth.fetch(`${issuer}/playground/${kind}${path}`, init)
      const { status, headers } = response
      // A 401 after a sign-out is expected. This page may not know of the sign-out yet.
      const isRevoked = headers.get('www-authenticate')?.includes('token_revoked')
      const isWrong401 = status === 401 && !isRevoked && this.#auth.state.status === 'signed-in'
      record(headers.get('x-replica'), status, status >= 500 || isWrong401)
      return response
    } catch (error) {
      record(null, 0, true)
      throw error
    }
  }

  /** Sends read-only requests at this rate; 0 stops. */
  setRate(perSecond: number): void {
    clearInterval(this.#timer)
    if (perSecond > 0) this.#timer = setInterval(() => this.#sendRead(), 1000 / perSecond)
  }

  #record(response: ReplicaResponse, nowMs: number): void {
    const { replica, isFailure } = response
    if (replica !== null) this.statistics.addResponse(replica, nowMs)
    if (isFailure) this.statistics.addFailure(nowMs)
    for (const listener of this.#listeners) listener(response)
  }

  #sendRead(): void {
    if (this.#auth.state.status !== 'signed-in' || document.hidden) return
    if (this.#inFlight >= maxInFlight) return
    this.#count++
    this.#inFlight++
    const toShop = this.hasShop && this.#count % 3 === 0
    this.send(toShop ? 'shop' : 'verifier', toShop ? '/cart' : '/verify')
      .then((response) => response.body?.cancel())
      .catch(() => {})
      .finally(() => {
        this.#inFlight--
      })
  }
}

/** Seconds in a chart. */
export const shownSeconds = 60

/** The responses and failures of one second. */
export interface Second {
  readonly responses: ReadonlyMap<string, number>
  readonly failures: number
}

const emptySecond: Second = { responses: new Map(), failures: 0 }

/** Counts responses per replica and failures, per second. */
class Statistics {
  readonly #totals = new Map<string, number>()
  readonly #seconds = new Map<number, { responses: Map<string, number>; failures: number }>()
  #failures = 0

  get failures(): number {
    return this.#failures
  }

  /** The number of responses of each replica. */
  get totals(): ReadonlyMap<string, number> {
    return this.#totals
  }

  addResponse(replica: string, nowMs: number): void {
    this.#totals.set(replica, (this.#totals.get(replica) ?? 0) + 1)
    const { responses } = this.#at(nowMs)
    responses.set(replica, (responses.get(replica) ?? 0) + 1)
  }

  addFailure(nowMs: number): void {
    this.#failures++
    this.#at(nowMs).failures++
  }

  /** The last complete seconds, oldest first. */
  lastSeconds(nowMs: number): readonly Second[] {
    const now = Math.floor(nowMs / 1000)
    return Array.from(
      { length: shownSeconds },
      (_, at) => this.#seconds.get(now - shownSeconds + at) ?? emptySecond,
    )
  }

  #at(nowMs: number) {
    const second = Math.floor(nowMs / 1000)
    let found = this.#seconds.get(second)
    if (found === undefined) {
      found = { responses: new Map(), failures: 0 }
      this.#seconds.set(second, found)
      this.#seconds.delete(second - shownSeconds - 2)
    }
    return found
  }
}
