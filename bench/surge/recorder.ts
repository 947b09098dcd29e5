import type { Answer } from '../harness/http.ts'
import { percentile } from '../harness/statistics.ts'
import type { CartDifference } from './cart-book.ts'
import type { Script } from './script.ts'

/** The results at one level of the load. A latency starts when the action was due. */
export type Phase = ReturnType<Recorder['phases']>[number]
export type Totals = ReturnType<Recorder['totals']>

interface Action {
  readonly dueMs: number
  readonly endMs: number
  readonly failure: string | null
}

/** A sign-out is late if a replica accepts the user after this time. */
const lateMs = 1_000

/** Records the results of the actions, from `begin` on. */
export class Recorder {
  readonly #actions: Action[] = []
  readonly #carts: (CartDifference & { readonly user: string })[] = []
  readonly #signedOutReasons: string[] = []
  readonly #signOutDelaysMs: number[] = []
  readonly #counts = { logins: 0, refreshes: 0 }
  #beginMs = Number.POSITIVE_INFINITY

  begin(): void {
    this.#beginMs = performance.now()
  }

  /** Milliseconds since the surge began; not finite before. */
  nowMs(): number {
    return performance.now() - this.#beginMs
  }

  /** @param failure the last response, if the action failed */
  acted(action: string, dueMs: number, failure: Answer | null): void {
    const reason = failure === null ? null : `${action}: ${describe(failure)}`
    if (this.#isOn) this.#actions.push({ dueMs, endMs: this.nowMs(), failure: reason })
  }

  compared(user: string, difference: CartDifference): void {
    if (this.#isOn) this.#carts.push({ user, ...difference })
  }

  /** Records an unwanted sign-out. @param refusal the response that ended the session */
  lostSession(refusal: Answer | null): void {
    if (this.#isOn) this.#signedOutReasons.push(refusal === null ? 'unknown' : describe(refusal))
  }

  /** @param delayMs how long after the sign-out the user was last accepted; 0 for never */
  signedOutEverywhere(delayMs: number): void {
    this.#signOutDelaysMs.push(delayMs)
  }

  count(what: 'logins' | 'refreshes'): void {
    if (this.#isOn) this.#counts[what]++
  }

  get #isOn(): boolean {
    return Number.isFinite(this.#beginMs)
  }

  totals() {
    const failures = this.#actions.flatMap(({ failure }) => failure ?? [])
    const withLoss = this.#carts.filter(({ lost }) => lost.length > 0)
    const sumOf = (what: 'lost' | 'doubled') =>
      this.#carts.reduce((sum, cart) => sum + cart[what].length, 0)
    return {
      /** Actions that failed after the client's retries. */
      failures: failures.length,
      /** Users who had to sign in again without having signed out. */
      signedOut: this.#signedOutReasons.length,
      /** Carts that lack an acknowledged item. */
      cartsWithLoss: new Set(withLoss.map(({ user }) => user)).size,
      /** Signed-out users that a replica accepted for over a second. */
      lateSignOuts: this.#signOutDelaysMs.filter((ms) => ms > lateMs).length,
      signOuts: this.#signOutDelaysMs.length,
      cartsCompared: this.#carts.length,
      lostItems: sumOf('lost'),
      /** Products with more items in a cart than the user added. */
      doubledItems: sumOf('doubled'),
      actions: this.#actions.length,
      ...this.#counts,
      failuresByKind: countEach(failures),
      signedOutByReason: countEach(this.#signedOutReasons),
    }
  }

  phases({ levels }: Script) {
    return levels.map((level) => {
      const isDue = ({ dueMs }: Action) => dueMs >= level.startMs && dueMs < level.endMs
      const due = this.#actions.filter(isDue)
      const latencies = Float64Array.from(due, ({ dueMs, endMs }) => endMs - dueMs).sort()
      const at = (share: number) => (due.length === 0 ? 0 : percentile(latencies, share))
      return { ...level, ...countsOf(due), p50: at(0.5), p99: at(0.99) }
    })
  }

  /** Counts the actions that ended within each second. */
  series({ endMs: untilMs }: Script) {
    const bySecond = Map.groupBy(this.#actions, ({ endMs }) => Math.floor(endMs / 1000))
    return Array.from({ length: Math.ceil(untilMs / 1000) }, (_, second) => {
      return { tMs: second * 1000, ...countsOf(bySecond.get(second) ?? []) }
    })
  }
}

function countsOf(actions: readonly Action[]) {
  const failed = actions.filter(({ failure }) => failure !== null)
  return { actions: actions.length, failures: failed.length }
}

function countEach(all: readonly string[]): Readonly<Record<string, number>> {
  const groups = Map.groupBy(all, (one) => one)
  return Object.fromEntries([...groups].map(([name, same]) => [name, same.length]))
}

/** Returns the status, with the code of a problem or of RFC 6749. */
function describe({ status, body }: Answer): string {
  const { code, error } = (body ?? {}) as { code?: unknown; error?: unknown }
  return `${status === 0 ? 'no answer' : status} ${code ?? error ?? ''}`.trim()
}
