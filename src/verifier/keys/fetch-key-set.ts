import type { JsonValue } from '../../core/json.ts'
import { parseStrictJson } from '../../tokens/json.ts'
import { wholeSeconds } from '../error-text.ts'

/** The longest JWK Set that is read, in bytes. 64 RSA keys fit, or 30 of ML-DSA-44. */
export const maxBodyBytes = 64 * 1024

/** How long a set is fresh when its server does not say. */
const defaultMaxAge_s = 300
/** A second keeps a max-age of 0 from a request a token; an hour, a removed key from living long. */
const maxAgeRange_s = { min: 1, max: 3600 }
/** A longer entity tag is not sent back with each request. */
const etagCharsMax = 256

/** `application/json`, and what is written in JSON: `application/jwk-set+json` (RFC 7517 §8.5). */
const jsonType = /^application\/(?:[a-z0-9.-]+\+)?json$/

export interface KeySetRequest {
  readonly uri: string
  /** The entity tag of the set that is here already; null if none is. */
  readonly etag: string | null
  /** Whether a copy from a cache on the way is too old (RFC 9111 §5.2.1.4). */
  readonly isForced: boolean
  readonly signal: AbortSignal
}

export interface KeySetAnswer {
  /** The JWK Set; undefined if it is still the one that was named by its entity tag (304). */
  readonly jwks: JsonValue | undefined
  readonly etag: string | null
  /** For how many seconds from now it need not be fetched again. */
  readonly freshFor_s: number
}

/** An answer without keys in it. */
export class KeysRefused extends Error {
  /** The `Retry-After` of the answer (RFC 9110 §10.2.3), as it came. */
  readonly retryAfter: string | null

  constructor(message: string, retryAfter: string | null) {
    super(message)
    this.retryAfter = retryAfter
  }
}

/**
 * Fetches a JWK Set. Follows no redirect, and takes nothing but a 200 with JSON in it, or the 304
 * that was asked for.
 *
 * @throws Error for any failure, or the reason of `signal`
 */
export async function fetchKeySet(request: KeySetRequest): Promise<KeySetAnswer> {
  const response = await fetch(request.uri, {
    redirect: 'manual',
    headers: requestHeaders(request),
    signal: request.signal,
  })
  const { status, headers } = response
  const isRenewed = status === 304 && request.etag !== null
  if (status !== 200 || !isJson(headers)) {
    await response.body?.cancel()
    if (isRenewed) return { jwks: undefined, etag: request.etag, freshFor_s: freshness_s(headers) }
    if (status === 200) throw new KeysRefused('the content type of the answer is not JSON', null)
    throw new KeysRefused(describeStatus(status), headers.get('retry-after'))
  }
  const jwks = parseStrictJson(await readBody(response))
  if (jwks === undefined) throw new Error('the answer is not acceptable JSON')
  return { jwks, etag: etagOf(headers), freshFor_s: freshness_s(headers) }
}

function requestHeaders({ etag, isForced }: KeySetRequest): Record<string, string> {
  return {
    accept: 'application/jwk-set+json, application/json',
    ...(etag !== null && { 'if-none-match': etag }),
    ...(isForced && { 'cache-control': 'no-cache' }),
  }
}

function isJson(headers: Headers): boolean {
  const [type = ''] = (headers.get('content-type') ?? '').split(';', 1)
  return jsonType.test(type.trim().toLowerCase())
}

function describeStatus(status: number): string {
  const isRedirect = status >= 300 && status < 400 && status !== 304
  return `the answer has status ${status}${isRedirect ? ', and no redirect is followed' : ''}`
}

async function readBody(response: Response): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    if (size > maxBodyBytes) throw new Error(`the answer is longer than ${maxBodyBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function etagOf(headers: Headers): string | null {
  const etag = headers.get('etag')
  return etag === null || etag.length > etagCharsMax ? null : etag
}

/** `max-age`, less the time that the answer has spent in a cache on its way (RFC 9111 §4.2). */
function freshness_s(headers: Headers): number {
  const directives = (headers.get('cache-control') ?? '').toLowerCase().split(',')
  const maxAge = directives.map((part) => part.trim()).find((part) => part.startsWith('max-age='))
  const maxAge_s = wholeSeconds(maxAge?.slice('max-age='.length)) ?? defaultMaxAge_s
  const freshFor_s = maxAge_s - (wholeSeconds(headers.get('age')) ?? 0)
  return Math.min(Math.max(freshFor_s, maxAgeRange_s.min), maxAgeRange_s.max)
}
