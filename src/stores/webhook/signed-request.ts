import type { KeyObject } from 'node:crypto'
import { type Clock, now_s } from '../../core/clock.ts'
import { GatepassError } from '../../core/errors.ts'
import type { JsonValue } from '../../core/json.ts'
import { randomId } from '../../core/secrets.ts'
import { parseStrictJson } from '../../tokens/json.ts'
import { ExchangeError } from './failures.ts'
import { isSigned, signatures } from './signature.ts'

/** The longest answer that is read, in bytes. */
export const answerBytesMax = 64 * 1024

/** Statuses by which a server, or a proxy before it, says that it can't serve now. */
const outageStatuses: readonly number[] = [502, 503, 504]
const statusNotImplemented = 501

export interface Endpoint {
  readonly url: string
  /** Each of them signs; each is accepted in an answer. */
  readonly keys: readonly KeyObject[]
  readonly clock: Clock
}

/**
 * Posts one signed message and reads the answer, whose signature ties it to this message. Follows no
 * redirect, and takes nothing but a 200 with signed JSON in it.
 *
 * @param signal its reason is thrown when it is aborted
 * @throws ExchangeError; `operation_unsupported` when the user base says so
 */
export async function exchange(
  { url, keys, clock }: Endpoint,
  body: string,
  signal: AbortSignal,
): Promise<JsonValue> {
  // New for each attempt: a receiver refuses an id that it has seen, as that may be a replay.
  const id = `msg_${randomId()}`
  const timestamp = String(now_s(clock))
  const response = await overNetwork(signal, () =>
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
  if (!isUsable(response)) {
    await overNetwork(signal, async () => response.body?.cancel())
    throw refusal(response)
  }
  const bytes = await overNetwork(signal, () => readBody(response))
  if (bytes === null) throw unusable(`the answer is longer than ${answerBytesMax} bytes`)
  const answer = { id, timestamp: response.headers.get('webhook-timestamp') ?? '', body: bytes }
  if (!isSigned(answer, response.headers.get('webhook-signature') ?? '', keys)) {
    throw unusable(
      'the answer is not signed with a secret of ours, or is the answer to another call',
    )
  }
  const value = parseStrictJson(bytes)
  if (value === undefined) throw unusable('the answer is not acceptable JSON')
  return value
}

function isUsable({ status, headers }: Response): boolean {
  return status === 200 && isJson(headers)
}

/** A type without its parameters (RFC 9110 §8.3.1). */
function isJson(headers: Headers): boolean {
  const [type = ''] = (headers.get('content-type') ?? '').split(';')
  return type.trim().toLowerCase() === 'application/json'
}

function refusal({ status }: Response): Error {
  if (status === 200) return unusable('the answer is not of the type application/json')
  if (status === statusNotImplemented) return new GatepassError('operation_unsupported')
  return new ExchangeError(`the answer has status ${status}`, outageStatuses.includes(status))
}

/** The body; null when it is too long. */
async function readBody(response: Response): Promise<Buffer | null> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    if (size > answerBytesMax) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/**
 * A step that fails by the network only. Of the error nothing is kept but its code: what fetch()
 * throws may hold what was received.
 */
export async function overNetwork<T>(signal: AbortSignal, step: () => Promise<T>): Promise<T> {
  try {
    return await step()
  } catch (error) {
    if (signal.aborted) throw signal.reason
    throw new ExchangeError(`the connection failed (${codeOf(error)})`, true)
  }
}

function codeOf(error: unknown): string {
  // What fetch() throws is a TypeError, with the reason in its cause.
  const { cause = error } = error as Error
  const { code, name } = cause as NodeJS.ErrnoException
  return code ?? name
}

function unusable(reason: string): ExchangeError {
  return new ExchangeError(reason, false)
}
