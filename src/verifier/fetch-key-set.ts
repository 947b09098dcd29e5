import { parseStrictJson } from '../tokens/json.ts'
import { type KeySet, readKeySet } from './key-set.ts'

/** The longest JWK Set that is read, in bytes. 64 RSA keys fit, or 30 of ML-DSA-44. */
const maxBodyBytes = 64 * 1024

/** How long a set is fresh when its server does not say. */
const defaultMaxAge_s = 300
/** A second keeps a max-age of 0 from a request a token; an hour, a removed key from living long. */
const maxAgeRange_s = { min: 1, max: 3600 }

export interface FetchedKeySet {
  readonly set: KeySet
  /** For how many seconds from now it need not be fetched again. */
  readonly freshFor_s: number
}

/**
 * Fetches a JWK Set. Follows no redirect, and takes nothing but a 200 with a set in it.
 *
 * @throws Error for any failure, or the reason of `signal`
 */
export async function fetchKeySet(uri: string, signal: AbortSignal): Promise<FetchedKeySet> {
  const response = await fetch(uri, {
    redirect: 'error',
    headers: { accept: 'application/jwk-set+json, application/json' },
    signal,
  })
  if (response.status !== 200) {
    await response.body?.cancel()
    throw new Error(`the answer has status ${response.status}`)
  }
  const jwks = parseStrictJson(await readBody(response))
  if (jwks === undefined) throw new Error('the answer is not acceptable JSON')
  return { set: readKeySet(jwks), freshFor_s: freshness_s(response.headers) }
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

/** `max-age`, less the time that the answer has spent in a cache on its way (RFC 9111 §4.2). */
function freshness_s(headers: Headers): number {
  const directives = (headers.get('cache-control') ?? '').toLowerCase().split(',')
  const maxAge = directives.map((part) => part.trim()).find((part) => part.startsWith('max-age='))
  const maxAge_s = wholeSeconds(maxAge?.slice('max-age='.length)) ?? defaultMaxAge_s
  const freshFor_s = maxAge_s - (wholeSeconds(headers.get('age')) ?? 0)
  return Math.min(Math.max(freshFor_s, maxAgeRange_s.min), maxAgeRange_s.max)
}

function wholeSeconds(text: string | null | undefined): number | null {
  return text && /^[0-9]{1,10}$/.test(text) ? Number(text) : null
}
