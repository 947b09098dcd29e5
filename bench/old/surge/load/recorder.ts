import type { Exchange } from '../client/exchange.ts'
import type { RequestEvents } from '../client/patience.ts'
import type { Failure } from '../result.ts'
import type { Answer, Call } from '../system.ts'
import { Tally } from './tally.ts'

/** An action of a user that has ended. */
export interface Ended {
  /** Milliseconds since the surge began. */
  readonly dueMs: number
  readonly endMs: number
  readonly hasFailed: boolean
}

/** What happened in one second. */
export interface Second {
  readonly replicas: Tally
  firstFailures: number
}

const failuresMax = 200

/** Counts all that the load meets, from `begin` on. */
export class Recorder implements RequestEvents {
  readonly ended: Ended[] = []
  readonly seconds = new Map<number, Second>()
  readonly failures: Failure[] = []
  readonly failuresByKind = new Tally()
  readonly firstFailuresByKind = new Tally()
  readonly actions = new Tally()
  readonly signOutBites_ms: number[] = []
  requests = 0
  retries = 0
  readonly signedOutByReason = new Tally()
  lostItems = 0
  doubledItems = 0
  cartsCompared = 0
  logins = 0
  refreshes = 0
  readonly usersWithLoss = new Set<string>()
  #beginMs: number | null = null

  begin(): void {
    this.#beginMs = performance.now()
  }

  /** Since the surge began; negative before. */
  nowMs(): number {
    return performance.now() - (this.#beginMs ?? Number.POSITIVE_INFINITY)
  }

  get #isOn(): boolean {
    return this.#beginMs !== null
  }

  answered(_call: Call, exchange: Exchange, isRepeat: boolean, mayPass: boolean): void {
    if (!this.#isOn) return
    this.requests++
    const second = this.#second()
    const { 'x-replica': replica } = exchange.headers
    if (typeof replica === 'string') second.replicas.add(replica)
    if (isRepeat) this.retries++
    else if (mayPass || exchange.status === 401) {
      second.firstFailures++
      this.firstFailuresByKind.add(kindOf(exchange.status, exchange.reason))
    }
  }

  /** How many actions have ended since then. */
  endedSince(ms: number): number {
    const first = this.ended.findLastIndex(({ endMs }) => endMs < ms) + 1
    return this.ended.length - first
  }

  /** @param failure the answer that the user got in the place of what was asked for */
  acted(name: string, dueMs: number, failure: Answer | null): void {
    if (!this.#isOn) return
    const endMs = this.nowMs()
    this.ended.push({ dueMs, endMs, hasFailed: failure !== null })
    this.actions.add(name)
    if (failure !== null) this.#failed(name, failure, endMs)
  }

  compared(user: string, lost: readonly string[], doubled: readonly string[]): void {
    if (!this.#isOn) return
    this.cartsCompared++
    this.lostItems += lost.length
    this.doubledItems += doubled.length
    if (lost.length > 0) this.usersWithLoss.add(user)
  }

  /** Somebody is signed out who has not asked for it. @param refusal what the server said; null if nothing */
  lostSession(refusal: Answer | null): void {
    const { status = 0, body } = refusal ?? {}
    if (this.#isOn) this.signedOutByReason.add(`${status} ${codeOf(body)}`.trim())
  }

  count(what: 'logins' | 'refreshes'): void {
    if (this.#isOn) this[what]++
  }

  #failed(action: string, { status, body }: Answer, tMs: number): void {
    const code = codeOf(body)
    const kind = kindOf(status, code)
    this.failuresByKind.add(`${action} ${kind}`)
    if (this.failures.length < failuresMax) {
      this.failures.push({ tMs: Math.round(tMs), action, kind, code })
    }
  }

  #second(): Second {
    const at = Math.floor(this.nowMs() / 1000)
    const found = this.seconds.get(at) ?? { replicas: new Tally(), firstFailures: 0 }
    this.seconds.set(at, found)
    return found
  }
}

/** Also of RFC 6749. */
function codeOf(body: unknown): string {
  const { code, error } = (body ?? {}) as { code?: unknown; error?: unknown }
  return String(code ?? error ?? '')
}

function kindOf(status: number, reason: string): string {
  return status === 0 ? `no answer (${reason})` : String(status)
}
