import { createHmac, createSecretKey, type KeyObject } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type * as z from 'zod'
import { BoundedQueue } from '../../core/bounded-queue.ts'
import { type Clock, nowSeconds, systemClock } from '../../core/clock.ts'
import { GatepassError, isGatepassError } from '../../core/errors.ts'
import type { JsonObject, JsonValue } from '../../core/json.ts'
import { equalBytes, randomId } from '../../core/secrets.ts'
import { parseStrictJson } from '../../tokens/strict-decoding.ts'
import { CircuitBreaker } from '../circuit-breaker.ts'
import { InFlightCalls, withDeadline } from '../in-flight-calls.ts'

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

/** How long the circuit breaker stays open. */
const openFor = { minMs: 1_000, maxMs: 30_000 }

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
  readonly #endpoint: Endpoint
  readonly #timeoutMs: number
  readonly #queue: BoundedQueue<Call, JsonValue>
  readonly #breaker: CircuitBreaker
  readonly #calls: InFlightCalls

  constructor(options: WebhookOptions) {
    const { url, secrets, clock = systemClock, timeoutMs = 2_000 } = options
    const { maxConcurrent = 64, maxQueued = 1_000 } = options
    this.#endpoint = { url, keys: secrets.map(keyOfSecret), clock }
    this.#timeoutMs = timeoutMs
    this.#queue = new BoundedQueue({ maxConcurrent, maxQueued, maxWaitMs: timeoutMs }, (calls) =>
      Promise.allSettled(calls.map((call) => this.#send(call))),
    )
    this.#calls = new InFlightCalls(maxConcurrent + maxQueued, toGatepassError)
    this.#breaker = new CircuitBreaker({ openFor, clock, isFailure: isOutage })
  }

  /** @throws `store_unavailable`, `operation_unsupported` */
  call<T>(operation: Operation<T>, data: JsonObject): Promise<T> {
    const body = JSON.stringify({ type: operation.type, data })
    return this.#calls.run(async () => readAnswer(operation, await this.#enqueue(operation, body)))
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

  async #send(call: Call): Promise<JsonValue> {
    const { operation, signal } = call
    signal.throwIfAborted()
    const attempt = () => this.#breaker.run(() => sendSignedRequest(this.#endpoint, call))
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
  throw unusable(`the response does not match its schema: ${describe(result.error)}`)
}

/** Names the invalid fields, and none of their values. */
function describe(error: z.ZodError): string {
  return error.issues.map(({ path, code }) => `/${path.join('/')} ${code}`).join(', ')
}

function toGatepassError(error: unknown): unknown {
  if (error instanceof UserBaseError) return unavailable(error.message)
  if (isGatepassError(error, 'overloaded')) {
    return unavailable('too many calls are waiting', error.retryAfterSeconds)
  }
  return error
}

/** Longest response that is read, in bytes. */
export const maxResponseBytes = 64 * 1024

/** Statuses of a server, or of a proxy in front of it, that is out of service. */
const outageStatuses: readonly number[] = [502, 503, 504]
const statusNotImplemented = 501

interface Endpoint {
  readonly url: string
  /** Every key signs requests; a response may be signed by any of them. */
  readonly keys: readonly KeyObject[]
  readonly clock: Clock
}

/**
 * The user base sent no usable response. The message is a clause for the log. It never quotes what
 * was sent or received, because both contain password hashes.
 */
class UserBaseError extends Error {
  override readonly name = 'UserBaseError'
  /** Whether the user base is out of service. Otherwise it sent a response that cannot be used. */
  readonly isOutage: boolean

  constructor(message: string, { isOutage }: { isOutage: boolean }) {
    super(message)
    this.isOutage = isOutage
  }
}

function isOutage(error: unknown): boolean {
  return error instanceof UserBaseError && error.isOutage
}

/**
 * Posts a signed message and returns the JSON of the response, whose signature covers the id of the
 * message (Standard Webhooks). Follows no redirect and accepts only a 200 with signed JSON.
 *
 * @param call the reason of its signal is thrown when that is aborted
 * @throws UserBaseError; `operation_unsupported` if the user base responds with 501
 */
async function sendSignedRequest(
  { url, keys, clock }: Endpoint,
  { operation, body, signal }: Call,
): Promise<JsonValue> {
  // New for each attempt: a receiver refuses an id that it has seen as a replay.
  const id = `msg_${randomId()}`
  const timestamp = String(nowSeconds(clock))
  const response = await networkStep(signal, () =>
    fetch(url, {
      method: 'POST',
      redirect: 'manual',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json',
        'accept-encoding': 'identity',
        'user-agent': 'gatepass',
        'webhook-id': id,
        'webhook-timestamp': timestamp,
        'webhook-signature': signatures({ id, timestamp, body }, keys),
      },
      body,
      signal,
    }),
  )
  if (response.status !== 200 || !isJson(response.headers)) {
    await networkStep(signal, async () => response.body?.cancel())
    throw refusal(response, operation.type)
  }
  const bytes = await networkStep(signal, () => readBody(response))
  if (bytes === null) throw unusable(`the response is longer than ${maxResponseBytes} bytes`)
  const signed = { id, timestamp: response.headers.get('webhook-timestamp') ?? '', body: bytes }
  if (!isSigned(signed, response.headers.get('webhook-signature') ?? '', keys)) {
    throw unusable('the response is not signed for this request with a configured secret')
  }
  const value = parseStrictJson(bytes)
  if (value === undefined) throw unusable('the response is not acceptable JSON')
  return value
}

/** Compares the media type without its parameters (RFC 9110 §8.3.1). */
function isJson(headers: Headers): boolean {
  const [type = ''] = (headers.get('content-type') ?? '').split(';')
  return type.trim().toLowerCase() === 'application/json'
}

function refusal({ status }: Response, type: string): Error {
  if (status === 200) return unusable('the response is not of the type application/json')
  if (status === statusNotImplemented) {
    const detail = `The user base does not offer ${type}.`
    return new GatepassError('operation_unsupported', { detail })
  }
  const isOutage = outageStatuses.includes(status)
  return new UserBaseError(`the response has status ${status}`, { isOutage })
}

/** Returns null if the body is too long. */
async function readBody(response: Response): Promise<Buffer | null> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    if (size > maxResponseBytes) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Runs a step that uses the network. Only the code of its error is kept: `fetch` may quote content. */
async function networkStep<T>(signal: AbortSignal, step: () => Promise<T>): Promise<T> {
  try {
    return await step()
  } catch (error) {
    if (signal.aborted) throw signal.reason
    throw new UserBaseError(`the connection failed (${codeOf(error)})`, { isOutage: true })
  }
}

function codeOf(error: unknown): string {
  // `fetch` throws a TypeError with the reason as its cause.
  const { cause = error } = error as Error
  const { code, name, message } = cause as NodeJS.ErrnoException
  // The Fetch Standard blocks the ports of other protocols, for example 6000.
  return code ?? (message === 'bad port' ? message : name)
}

function unusable(reason: string): UserBaseError {
  return new UserBaseError(reason, { isOutage: false })
}

/**
 * The signed content by Standard Webhooks 1.0.0. Neither id nor timestamp contains a dot, so that the
 * content has one reading only.
 */
interface Message {
  readonly id: string
  /** Seconds since 1970, in digits. */
  readonly timestamp: string
  readonly body: string | Uint8Array
}

/** The prefix of a secret in base64, known to libraries and secret scanners. */
const secretPrefix = 'whsec_'

/** HMAC-SHA-256. */
const version = 'v1'

/** Returns the key of a secret, whose form the settings have checked. */
export function keyOfSecret(secret: string): KeyObject {
  return createSecretKey(secret.slice(secretPrefix.length), 'base64')
}

/** Returns the `webhook-signature` header: one signature per key, separated by spaces. */
export function signatures(message: Message, keys: readonly KeyObject[]): string {
  return keys.map((key) => `${version},${macOf(message, key)}`).join(' ')
}

/** Whether a `webhook-signature` header has a signature by one of the keys. */
export function isSigned(message: Message, signature: string, keys: readonly KeyObject[]): boolean {
  if (!/^\d{1,12}$/.test(message.timestamp)) return false
  const given = signature.split(' ').map((one) => Buffer.from(one))
  return keys.some((key) => {
    const expected = Buffer.from(signatures(message, [key]))
    return given.some((one) => equalBytes(one, expected))
  })
}

function macOf({ id, timestamp, body }: Message, key: KeyObject): string {
  return createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64')
}
