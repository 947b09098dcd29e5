import { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { isGatepassError } from '../../../src/core/errors.ts'
import { digest, randomId } from '../../../src/core/secrets.ts'
import type { RotationPolicy, SessionStore } from '../../../src/stores/ports.ts'
import { session } from '../../support/sessions.ts'
import { until } from '../../support/until.ts'

/** A short grace period, so that nearly every call is a rotation. */
const policy: RotationPolicy = { graceMs: 100, idleMs: 3_600_000, revokedKeptMs: 300_000 }
const pauseMs = 40

export interface LoadReport {
  /** Successful calls. */
  readonly answered: number
  /** Calls that failed as `store_unavailable`. */
  readonly unavailable: number
  /** Outcomes that no honest client may get. */
  readonly wrong: readonly string[]
  /** Duration of the slowest call. */
  readonly slowestMs: number
}

/**
 * Honest clients with a session each that refresh repeatedly. A client without a response retries with
 * the same Idempotency-Key.
 */
export class Load {
  readonly #store: SessionStore
  readonly #sids: readonly string[]
  readonly #clients: readonly Promise<void>[]
  readonly #answers = new EventEmitter()
  #isStopping = false
  #answered = 0
  #unavailable = 0
  #slowestMs = 0
  readonly #wrong: string[] = []

  private constructor(store: SessionStore, sids: readonly string[]) {
    this.#store = store
    this.#sids = sids
    this.#clients = sids.map((sid) => this.#refresh(sid))
  }

  /** Creates sessions and refreshes them until `stop`, or until the test ends. */
  static async start(t: Test, store: SessionStore, sids: readonly string[]): Promise<Load> {
    const nowMs = Date.now()
    const times = { createdAtMs: nowMs, mintedAtMs: nowMs, endsAtMs: nowMs + 86_400_000 }
    // On a busy machine a call of the first connection may miss its deadline.
    const create = async (sid: string) => {
      const one = session({ ...times, sid, expiresAtMs: nowMs + policy.idleMs })
      await until('the session is created', () => isAvailable(store.create(one)))
    }
    await Promise.all(sids.map(create))
    const load = new Load(store, sids)
    t.teardown(() => load.stop())
    return load
  }

  /** Resolves after a further response to every client, or early after a wrong outcome. */
  async untilAllAnswered(): Promise<void> {
    const waiting = new Set(this.#sids)
    const onAnswer = (sid: string) => waiting.delete(sid)
    this.#answers.on('answer', onAnswer)
    const isDone = () => waiting.size === 0 || this.#wrong.length > 0
    await until('every client gets a response', isDone)
    this.#answers.off('answer', onAnswer)
  }

  /** Resolves once a call has failed. Before that, responses from before a fault may still arrive. */
  async untilUnavailable(): Promise<void> {
    await until('a call fails', () => this.#unavailable > 0)
  }

  async stop(): Promise<LoadReport> {
    this.#isStopping = true
    await Promise.all(this.#clients)
    return {
      answered: this.#answered,
      unavailable: this.#unavailable,
      wrong: this.#wrong,
      slowestMs: this.#slowestMs,
    }
  }

  async #refresh(sid: string): Promise<void> {
    let generation = 0
    let idempotencyKey = digest(randomId())
    while (!this.#isStopping) {
      const startedAtMs = performance.now()
      try {
        const nowMs = Date.now()
        const request = { sid, generation, idempotencyKey, jkt: null, nowMs, policy }
        const { outcome, session } = await this.#store.rotate(request)
        if (session === null || (outcome !== 'rotated' && outcome !== 'replayed')) {
          this.#wrong.push(`generation ${generation} of ${sid} is ${outcome}`)
          return
        }
        this.#answered++
        this.#answers.emit('answer', sid)
        generation = session.generation
        idempotencyKey = digest(randomId())
      } catch (error) {
        if (isGatepassError(error, 'store_unavailable')) this.#unavailable++
        else this.#wrong.push(String(error))
      }
      this.#slowestMs = Math.max(this.#slowestMs, performance.now() - startedAtMs)
      await sleep(pauseMs * Math.random())
    }
  }
}

/** Tells whether a call of a store succeeds. Rejects for any error but `store_unavailable`. */
async function isAvailable(call: Promise<unknown>): Promise<boolean> {
  try {
    await call
    return true
  } catch (error) {
    if (isGatepassError(error, 'store_unavailable')) return false
    throw error
  }
}
