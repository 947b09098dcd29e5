import { backoffMs } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'

/** The longest snapshot that is read: some 500,000 sessions. */
export const snapshotBytesMax = 32 * 1024 * 1024
const etagLengthMax = 256
/** Who asks for more patience gets this much. */
const retryAfterMsMax = 300_000

/** The feed answered, but not with what was asked for. */
export class FeedRefused extends Error {
  /** When it asks to be asked again; null if it does not say. */
  readonly retryAfterMs: number | null

  constructor(message: string, retryAfterMs: number | null = null) {
    super(message)
    this.retryAfterMs = retryAfterMs
  }
}

/** How long a refusal asks to wait, and up to half of it more: not everybody at the same moment. */
export function askedWaitMs(error: Error, random: () => number): number {
  const retryAfterMs = error instanceof FeedRefused ? error.retryAfterMs : null
  return (retryAfterMs ?? 0) * (1 + random() / 2)
}

export interface FetchedSnapshot {
  readonly etag: string | null
  readonly text: string
}

/**
 * Asks for the snapshot (RFC 9110 §13.1.2). Follows no redirect.
 *
 * @param etag of the one that is known
 * @returns null when that is still the newest
 * @throws FeedRefused, Error for any other failure, or the reason of `signal`
 */
export async function fetchSnapshot(
  uri: string,
  etag: string | null,
  clock: Clock,
  signal: AbortSignal,
): Promise<FetchedSnapshot | null> {
  const headers = { accept: 'application/jwt', ...(etag !== null && { 'if-none-match': etag }) }
  const response = await fetch(uri, { redirect: 'error', headers, signal })
  if (response.status === 304 && etag !== null) {
    await response.body?.cancel()
    return null
  }
  if (response.status !== 200) throw await refusal(response, clock)
  const given = response.headers.get('etag')
  return {
    etag: given !== null && given.length <= etagLengthMax ? given : null,
    text: await readText(response),
  }
}

/**
 * Opens the stream behind a position.
 *
 * @throws as `fetchSnapshot`
 */
export async function openStream(
  uri: string,
  position: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const headers = {
    accept: 'text/event-stream',
    'cache-control': 'no-store',
    ...(position !== '' && { 'last-event-id': position }),
  }
  const response = await fetch(uri, { redirect: 'error', headers, signal })
  if (response.status !== 200) throw await refusal(response, clock)
  const type = response.headers.get('content-type')?.toLowerCase() ?? ''
  if (response.body === null || !/^text\/event-stream *(;|$)/.test(type)) {
    await response.body?.cancel()
    throw new FeedRefused('the answer is no stream of events')
  }
  return response.body
}

async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    if (size > snapshotBytesMax) {
      throw new FeedRefused(`the snapshot is longer than ${snapshotBytesMax} bytes`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('latin1')
}

async function refusal(response: Response, clock: Clock): Promise<FeedRefused> {
  await response.body?.cancel()
  const retryAfterMs = readRetryAfter(response.headers.get('retry-after'), clock)
  return new FeedRefused(`the answer has status ${response.status}`, retryAfterMs)
}

/** Seconds, or a date (RFC 9110 §10.2.3). */
function readRetryAfter(text: string | null, clock: Clock): number | null {
  if (text === null) return null
  const ms = /^[0-9]{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - clock.nowMs()
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, 0), retryAfterMsMax)
}

/** What went wrong, for whoever looks at a status. Never for a client. */
export function errorText(error: Error): string {
  // What fetch() throws says "fetch failed", and the reason in its cause.
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}

/** Digits alone, and as many as a number holds exactly. */
export function wholeSeconds(text: string | null | undefined): number | null {
  return text && /^[0-9]{1,10}$/.test(text) ? Number(text) : null
}

/** Counts failures and returns the delay before the next attempt. */
export class Backoff {
  readonly #maxMs: number
  readonly #random: () => number
  #firstMs: number
  #failures = 0

  /** @param random a number from 0 to below 1 */
  constructor(firstMs: number, maxMs: number, random: () => number) {
    this.#firstMs = firstMs
    this.#maxMs = maxMs
    this.#random = random
  }

  /** What the other side asks for, within reason. */
  set firstMs(firstMs: number) {
    this.#firstMs = Math.min(Math.max(firstMs, 100), this.#maxMs)
  }

  /** The wait after one more failure: between half of it and all, so that many don't come at once. */
  nextMs(): number {
    const limits = { minMs: this.#firstMs, maxMs: this.#maxMs }
    const delayMs = backoffMs(this.#failures, limits, this.#random)
    this.#failures = Math.min(this.#failures + 1, 30)
    return delayMs
  }

  reset(): void {
    this.#failures = 0
  }
}
