import type { KeyObject } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type * as z from 'zod'
import { BoundedQueue } from '../../core/bounded-queue.ts'
import { type Clock, systemClock } from '../../core/clock.ts'
import { GatepassError, isGatepassError } from '../../core/errors.ts'
import type { JsonObject, JsonValue } from '../../core/json.ts'
import { CircuitBreaker } from '../circuit-breaker.ts'
import { InFlightCalls, withDeadline } from '../in-flight-calls.ts'
import { isOutage, keyOfSecret, sendSignedRequest, UserBaseError } from './signed-request.ts'

export interface WebhookOptions {
  /** The http(s) address of the user base. */
  readonly url: string
  /** `whsec_…`, newest first. Every secret signs, so that either side can change its secret first. */
  readonly secrets: readonly string[]
  readonly clock?: Clock
  /** Longest duration of a call, including queueing and a second attempt. Default: 2,000. */
  readonly timeoutMs?: number
  /** Calls that run at the same time. Default: 64. */
  readonly maxConcurrent?: number
  /** Calls that may wait. Default: 1,000. */
  readonly maxQueued?: number
}

/** A kind of message and the schema of its response. docs/webhook.md describes each. */
export interface Operation<T> {
  readonly type: string
  readonly answer: z.ZodType<T>
  /** The operation changes nothing, so it may be repeated. */
  readonly isRead: boolean
}

/** Delay before the second attempt of a read: a service that restarts needs a moment. */
const retryDelayMs = 50

const breakerLimits = { maxFailures: 5, openFor: { minMs: 1_000, maxMs: 30_000 } }

interface Call {
  readonly operation: Operation<unknown>
  readonly body: string
  readonly signal: AbortSignal
}

/**
 * Calls a user base within a deadline. After an outage it repeats a read, and never a write, which may have
 * been applied. Consecutive outages open the circuit breaker; responses of any kind do not, as one name that
 * the user base cannot handle would lock everybody out.
 */
export class WebhookClient {
  readonly #url: string
  readonly #keys: readonly KeyObject[]
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #queue: BoundedQueue<Call, JsonValue>
  readonly #breaker: CircuitBreaker
  readonly #calls: InFlightCalls

  constructor(options: WebhookOptions) {
    const { url, secrets, clock = systemClock, timeoutMs = 2_000 } = options
    const { maxConcurrent = 64, maxQueued = 1_000 } = options
    this.#url = url
    this.#keys = secrets.map(keyOfSecret)
    this.#clock = clock
    this.#timeoutMs = timeoutMs
    this.#queue = new BoundedQueue(
      { maxConcurrent, maxQueued, maxWaitMs: timeoutMs },
      clock,
      (calls) => Promise.allSettled(calls.map((call) => this.#send(call))),
    )
    this.#calls = new InFlightCalls(maxConcurrent + maxQueued)
    this.#breaker = new CircuitBreaker({ ...breakerLimits, clock, isFailure: isOutage })
  }

  /** @throws `store_unavailable`, `operation_unsupported` */
  async call<T>(operation: Operation<T>, data: JsonObject): Promise<T> {
    const body = JSON.stringify({ type: operation.type, data })
    try {
      return readAnswer(operation, await this.#calls.run(() => this.#enqueue(operation, body)))
    } catch (error) {
      throw toGatepassError(error, operation.type)
    }
  }

  /** Waits for the calls in progress, which end within their deadlines. */
  close(): Promise<void> {
    return this.#calls.close()
  }

  #enqueue(operation: Operation<unknown>, body: string): Promise<JsonValue> {
    const late = `there was no full response within ${this.#timeoutMs} ms`
    return withDeadline(
      this.#timeoutMs,
      (signal) => this.#queue.run({ operation, body, signal }),
      () => new UserBaseError(late, { isOutage: true }),
    )
  }

  async #send({ operation, body, signal }: Call): Promise<JsonValue> {
    const endpoint = { url: this.#url, keys: this.#keys, clock: this.#clock }
    signal.throwIfAborted()
    const attempt = () => this.#breaker.run(() => sendSignedRequest(endpoint, body, signal))
    try {
      return await attempt()
    } catch (error) {
      if (!operation.isRead || !isOutage(error) || signal.aborted) throw error
    }
    await sleep(retryDelayMs, null, { signal }).catch(() => signal.throwIfAborted())
    return attempt()
  }
}

/** @param reason a clause without its full stop, for the log and the command line */
export function unavailable(reason: string, retryAfterSeconds = 1): GatepassError {
  return new GatepassError('store_unavailable', {
    detail: `The user base is unavailable: ${reason}.`,
    retryAfterSeconds,
  })
}

function readAnswer<T>({ answer }: Operation<T>, value: JsonValue): T {
  const result = answer.safeParse(value)
  if (result.success) return result.data
  const reason = `the response does not match its schema: ${describe(result.error)}`
  throw new UserBaseError(reason, { isOutage: false })
}

/** Names the invalid fields, and none of their values. */
function describe(error: z.ZodError): string {
  return error.issues.map(({ path, code }) => `/${path.join('/')} ${code}`).join(', ')
}

function toGatepassError(error: unknown, type: string): unknown {
  if (error instanceof UserBaseError) return unavailable(error.message)
  if (isGatepassError(error, 'overloaded')) {
    return unavailable('too many calls are waiting', error.retryAfterSeconds)
  }
  if (isGatepassError(error, 'operation_unsupported')) {
    return new GatepassError(error.code, { detail: `The user base does not offer ${type}.` })
  }
  return error
}
