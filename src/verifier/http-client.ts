import { type BackoffLimits, backoffMs } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'

/** Longer entity tags are not kept, because each request would repeat them. */
const maxEtagLength = 256
/** Longest wait that a server can ask for with `Retry-After`. */
const maxRetryAfterMs = 300_000

/** A server answered, but not with the requested content. */
export class ResponseError extends Error {
  /** How long the server asks to wait (RFC 9110 §10.2.3); null if it does not say. */
  readonly retryAfterMs: number | null

  constructor(message: string, retryAfterMs: number | null = null) {
    super(message)
    this.retryAfterMs = retryAfterMs
  }
}

export interface GetRequest {
  readonly uri: string
  readonly headers: Readonly<Record<string, string>>
  /** Entity tag of the known representation (RFC 9110 §13.1.2); null if none is known. */
  readonly etag?: string | null
  /** Reads a `Retry-After` that is a date. */
  readonly clock: Clock
  readonly signal: AbortSignal
}

/**
 * Sends a GET request. Follows no redirect.
 *
 * @returns a response with status 200, or with 304 if the request has an entity tag
 * @throws ResponseError for any other status, Error if there is no response, the reason of `signal`
 */
export async function get({ uri, headers, etag, clock, signal }: GetRequest): Promise<Response> {
  const conditional = typeof etag === 'string' ? { 'if-none-match': etag } : {}
  const response = await fetch(uri, {
    redirect: 'manual',
    headers: { ...headers, ...conditional },
    signal,
  })
  if (response.status === 200) return response
  await response.body?.cancel()
  if (response.status === 304 && typeof etag === 'string') return response
  const retryAfterMs = readRetryAfterMs(response.headers.get('retry-after'), clock)
  throw new ResponseError(describeStatus(response.status), retryAfterMs)
}

/**
 * Iterates over the body of a response to its end, or until `signal` aborts.
 *
 * An abort cancels the body itself. Deno forgets the signal of a fetch when it collects the `Response`,
 * and the body would then never end.
 *
 * @throws the reason of `signal`, Error if the connection breaks
 */
export async function* chunksOf(
  { body }: Response,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  if (body === null) return
  const reader = body.getReader()
  const cancel = () => void reader.cancel(signal.reason).catch(() => {})
  signal.addEventListener('abort', cancel)
  try {
    for (;;) {
      signal.throwIfAborted()
      const { done, value } = await reader.read()
      if (done) break
      yield value
    }
    signal.throwIfAborted()
  } finally {
    signal.removeEventListener('abort', cancel)
    cancel()
  }
}

/** @throws ResponseError if the body is longer than `maxBytes`, or the reason of `signal` */
export async function readBody(
  response: Response,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of chunksOf(response, signal)) {
    bytes += chunk.length
    if (bytes > maxBytes) throw new ResponseError(`the answer is longer than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Returns the media type of a response in lower case, without parameters. */
export function contentTypeOf({ headers }: Response): string {
  const [type = ''] = (headers.get('content-type') ?? '').split(';', 1)
  return type.trim().toLowerCase()
}

export function etagOf({ headers }: Response): string | null {
  const etag = headers.get('etag')
  return etag === null || etag.length > maxEtagLength ? null : etag
}

/**
 * Returns how many seconds ago the server created or confirmed a response. Of several values the first
 * counts (RFC 9111 §5.1).
 */
export function ageSecondsOf({ headers }: Response): number {
  const [first] = (headers.get('age') ?? '').split(',', 1)
  return readSeconds(first?.trim()) ?? 0
}

/** The value of every larger number of seconds (RFC 9111 §1.2.2). */
const maxSeconds = 2 ** 31

/** Reads a number of seconds (RFC 9110 §10.2.3, RFC 9111 §1.2.2). Null for any other text. */
export function readSeconds(text: string | null | undefined): number | null {
  return text && /^[0-9]+$/.test(text) ? Math.min(Number(text), maxSeconds) : null
}

/** Reads a `Retry-After`: seconds, or a date (RFC 9110 §10.2.3). Null for any other text. */
export function readRetryAfterMs(text: string | null, clock: Clock): number | null {
  if (text === null) return null
  const seconds = readSeconds(text)
  const ms = seconds === null ? Date.parse(text) - clock.nowMs() : seconds * 1000
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, 0), maxRetryAfterMs)
}

function describeStatus(status: number): string {
  const isRedirect = status >= 300 && status < 400 && status !== 304
  return `the answer has status ${status}${isRedirect ? ', and no redirect is followed' : ''}`
}

/** Runs a request, and aborts it if it takes longer than `timeoutMs`. */
export async function abortAfter<Result>(
  timeoutMs: number,
  aborter: AbortController,
  request: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const timer = setTimeout(() => {
    aborter.abort(new Error(`there was no full answer within ${timeoutMs} ms`))
  }, timeoutMs)
  try {
    return await request(aborter.signal)
  } finally {
    clearTimeout(timer)
  }
}

/** Counts failures and returns the delay before the next attempt. */
export class RetryDelay {
  readonly #random: () => number
  #limits: BackoffLimits
  #failures = 0

  /** @param random returns a number from 0 to below 1 */
  constructor(limits: BackoffLimits, random = Math.random) {
    this.#limits = limits
    this.#random = random
  }

  /** Sets the first delay to what the server asks for, within reason. */
  set minMs(ms: number) {
    const { maxMs } = this.#limits
    this.#limits = { minMs: Math.min(Math.max(ms, 100), maxMs), maxMs }
  }

  /** Returns the delay after one more failure: exponential backoff, or longer if the server asks. */
  afterMs(error: Error): number {
    const delayMs = backoffMs(this.#failures, this.#limits, this.#random)
    this.#failures += 1
    const retryAfterMs = error instanceof ResponseError ? error.retryAfterMs : null
    // Up to half longer, so that the clients of one server do not return at the same time.
    return Math.max(delayMs, (retryAfterMs ?? 0) * (1 + this.#random() / 2))
  }

  reset(): void {
    this.#failures = 0
  }
}

/**
 * Tells whether a value is an http or https address without credentials and white space. The URL parser
 * ignores the line end of a value that was read from a file, but nothing that is compared equals it.
 */
export function isWebAddress(value: unknown): value is string {
  const url = typeof value === 'string' && !/\s/.test(value) ? URL.parse(value) : null
  const isWeb = url?.protocol === 'https:' || url?.protocol === 'http:'
  return isWeb && url?.username === '' && url.password === ''
}
