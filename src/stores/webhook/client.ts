import { setTimeout as sleep } from 'node:timers/promises'
import type { z } from 'zod'
import { type Clock, systemClock } from '../../core/clock.ts'
import { GatepassError, isGatepassError } from '../../core/errors.ts'
import type { JsonObject, JsonValue } from '../../core/json.ts'
import { Breaker } from '../circuit-breaker.ts'
import { ExchangeError, isOutage, unavailable } from './failures.ts'
import type { Operation } from './operations.ts'
import { keyOfSecret } from './signature.ts'
import { type Endpoint, exchange, overNetwork } from './signed-request.ts'
import { Slots } from './slots.ts'

export interface WebhookOptions {
  /** Where the user base takes messages: an http(s) address. */
  readonly url: string
  /** `whsec_…`, newest first: each of them signs, so that both sides can be changed one by one. */
  readonly secrets: readonly string[]
  readonly clock?: Clock
  /** How long a call may take to the last byte of its answer, a second attempt included; 2,000. */
  readonly timeoutMs?: number
  /** How many calls are under way at once; 64. */
  readonly callsMax?: number
  /** How many more wait for their turn; 1,000. */
  readonly waitingMax?: number
}

/** How long a second attempt waits, so that a service that restarts is not asked in vain. */
const pauseMs = 50

const breakerLimits = { failuresMax: 5, firstOpenMs: 1_000, openMsMax: 30_000 }

/**
 * Calls a user base. Each call ends within its deadline, if only by `store_unavailable`.
 *
 * A read is attempted twice where the first attempt has met an outage. A write never is: it may have
 * happened. Outages in a row open the circuit breaker; an answer of any kind does not, or a stranger
 * could lock everybody out with a name that the user base chokes on.
 */
export class WebhookClient {
  readonly #endpoint: Endpoint
  readonly #timeoutMs: number
  readonly #slots: Slots
  readonly #breaker: Breaker
  readonly #calls = new Set<Promise<unknown>>()
  #isClosed = false

  constructor(options: WebhookOptions) {
    const { url, secrets, clock = systemClock, timeoutMs = 2_000 } = options
    const { callsMax = 64, waitingMax = 1_000 } = options
    this.#endpoint = { url, keys: secrets.map(keyOfSecret), clock }
    this.#timeoutMs = timeoutMs
    this.#slots = new Slots({ runningMax: callsMax, waitingMax })
    this.#breaker = new Breaker({ ...breakerLimits, clock, isFailure: isOutage })
  }

  /** @throws `store_unavailable`, `operation_unsupported` */
  async call<T>(operation: Operation<T>, data: JsonObject): Promise<T> {
    if (this.#isClosed) throw unavailable('the store is closed')
    const call = this.#withinDeadline((signal) =>
      this.#slots.run(signal, () => this.#ask(operation, data, signal)),
    )
    this.#calls.add(call)
    try {
      return read(operation, await call)
    } catch (error) {
      if (error instanceof ExchangeError) throw unavailable(error.message)
      if (!isGatepassError(error, 'operation_unsupported')) throw error
      throw new GatepassError(error.code, {
        detail: `The user base does not offer ${operation.type}.`,
      })
    } finally {
      this.#calls.delete(call)
    }
  }

  /** Lets the calls that are under way end, within their deadlines. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.allSettled(this.#calls)
  }

  async #ask(
    { type, isRead }: Operation<unknown>,
    data: JsonObject,
    signal: AbortSignal,
  ): Promise<JsonValue> {
    const body = JSON.stringify({ type, data })
    const attempt = () => this.#breaker.run(() => exchange(this.#endpoint, body, signal))
    try {
      return await attempt()
    } catch (error) {
      if (!isRead || !isOutage(error) || signal.aborted) throw error
    }
    await overNetwork(signal, () => sleep(pauseMs, undefined, { signal }))
    return attempt()
  }

  async #withinDeadline<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const aborter = new AbortController()
    const reason = `there was no full answer within ${this.#timeoutMs} ms`
    const timer = setTimeout(() => aborter.abort(new ExchangeError(reason, true)), this.#timeoutMs)
    try {
      return await work(aborter.signal)
    } finally {
      clearTimeout(timer)
    }
  }
}

function read<T>({ answer }: Operation<T>, value: JsonValue): T {
  const result = answer.safeParse(value)
  if (result.success) return result.data
  throw new ExchangeError(`the answer is not as agreed: ${describe(result.error)}`, false)
}

/** Names the fields at fault, and nothing that is in them. */
function describe(error: z.ZodError): string {
  return error.issues.map(({ path, code }) => `/${path.join('/')} ${code}`).join(', ')
}
