import { heapBytesOf } from '../core/json.ts'
import { copyOf } from '../tokens/strict-decoding.ts'
import type { VerifiedToken } from './issuer-matching.ts'

export interface TokenCacheStatus {
  readonly tokens: number
  /** Estimated memory in use. */
  readonly bytes: number
  readonly maxBytes: number
  /** Lookups that found a token, and lookups that did not, since the start. */
  readonly hits: number
  readonly misses: number
  /** Tokens that were removed to make room, since the start. */
  readonly evictions: number
}

/**
 * A class, because V8 may allocate object literals in the old generation if many of them were kept.
 */
class CachedToken implements VerifiedToken {
  readonly token: string
  /** Compared before the text, because the texts of other tokens are slow to read. */
  readonly hash: number
  readonly claims: VerifiedToken['claims']
  readonly key: VerifiedToken['key']
  readonly issuer: VerifiedToken['issuer']
  /** Estimated size on the heap. */
  readonly bytes: number
  isProtected = false
  /** Neighbors in the order of use. */
  newer: CachedToken | null = null
  older: CachedToken | null = null
  /** The next token in the same bucket. */
  next: CachedToken | null

  constructor(
    token: string,
    hash: number,
    { claims, key, issuer }: VerifiedToken,
    next: CachedToken | null,
  ) {
    this.token = token
    this.hash = hash
    this.claims = claims
    this.key = key
    this.issuer = issuer
    this.bytes = entryBytes + token.length + heapBytesOf(claims)
    this.next = next
  }
}

/** A list of tokens in the order of their use. */
class Segment {
  bytes = 0
  newest: CachedToken | null = null
  oldest: CachedToken | null = null

  add(entry: CachedToken): void {
    entry.older = this.newest
    if (this.newest === null) this.oldest = entry
    else this.newest.newer = entry
    this.newest = entry
    this.bytes += entry.bytes
  }

  remove(entry: CachedToken): void {
    const { newer, older } = entry
    if (newer === null) this.newest = older
    else newer.older = older
    if (older === null) this.oldest = newer
    else older.newer = newer
    // Otherwise V8 would keep the neighbors of removed tokens until its next full collection.
    entry.newer = null
    entry.older = null
    this.bytes -= entry.bytes
  }
}

/** Enough for 100,000 tokens. */
export const defaultCacheBytes = 128 * 1024 ** 2
/** A token with less remaining lifetime is not worth keeping. */
const minLifetime_s = 2
/** Heap of an entry besides the text of the token and its claims, in bytes. */
const entryBytes = 128
/** Memory per bucket of the hash table: about one token. */
const bucketBytes = 1024
/** By chance, fewer than one bucket in 10^14 has more. */
const maxBucketTokens = 16
/** Share of the cache for tokens that were used more than once. */
const protectedShare = 7 / 8

/**
 * Verified tokens by their whole text, in a segmented LRU. The second use of a token moves it from the
 * probation segment to the protected segment, so a flood of one-time tokens evicts no token in use.
 * Probation also has the memory that the protected segment does not use.
 *
 * The hash table has a fixed size. A Map would copy its table again and again, and V8 keeps the old
 * tables and their tokens until its next full collection.
 * @internal
 */
export class TokenCache {
  readonly #maxBytes: number
  readonly #buckets: (CachedToken | null)[]
  readonly #probation = new Segment()
  readonly #protected = new Segment()
  #tokens = 0
  #hits = 0
  #misses = 0
  #evictions = 0

  constructor(maxBytes = defaultCacheBytes) {
    this.#maxBytes = maxBytes
    this.#buckets = new Array(Math.ceil(maxBytes / bucketBytes)).fill(null)
  }

  /** Finds a token. The caller checks its expiry, key and revocation. */
  find(token: string): VerifiedToken | undefined {
    const entry = this.#entryOf(token, hashOf(token))
    if (entry === null) {
      this.#misses += 1
      return undefined
    }
    this.#hits += 1
    if (entry !== this.#protected.newest) this.#protect(entry)
    return entry
  }

  /** Adds a token that was verified a moment ago. */
  add(token: string, verified: VerifiedToken, now_s: number): void {
    if (verified.claims.exp - now_s < minLifetime_s) return
    const hash = hashOf(token)
    // Concurrent requests may have verified and added the same token.
    const earlier = this.#entryOf(token, hash)
    if (earlier !== null) this.#delete(earlier)
    const bucket = this.#bucketOf(hash)
    const entry = new CachedToken(copyOf(token), hash, verified, this.#buckets[bucket] ?? null)
    this.#buckets[bucket] = entry
    this.#tokens += 1
    this.#probation.add(entry)
    if (earlier?.isProtected) this.#protect(entry)
    this.#limitBucket(entry)
    while (this.#bytes > this.#maxBytes) this.#evict(this.#probation.oldest as CachedToken)
  }

  remove(token: string): void {
    const entry = this.#entryOf(token, hashOf(token))
    if (entry !== null) this.#delete(entry)
  }

  status(): TokenCacheStatus {
    return {
      tokens: this.#tokens,
      bytes: this.#bytes,
      maxBytes: this.#maxBytes,
      hits: this.#hits,
      misses: this.#misses,
      evictions: this.#evictions,
    }
  }

  get #bytes(): number {
    return this.#probation.bytes + this.#protected.bytes
  }

  #bucketOf(hash: number): number {
    return hash % this.#buckets.length
  }

  #entryOf(token: string, hash: number): CachedToken | null {
    let entry = this.#buckets[this.#bucketOf(hash)] ?? null
    while (entry !== null && (entry.hash !== hash || entry.token !== token)) entry = entry.next
    return entry
  }

  #delete(entry: CachedToken): void {
    const bucket = this.#bucketOf(entry.hash)
    let before = this.#buckets[bucket] as CachedToken
    if (before === entry) this.#buckets[bucket] = entry.next
    else {
      while (before.next !== entry) before = before.next as CachedToken
      before.next = entry.next
    }
    entry.next = null
    this.#segmentOf(entry).remove(entry)
    this.#tokens -= 1
  }

  #evict(entry: CachedToken): void {
    this.#delete(entry)
    this.#evictions += 1
  }

  /** Evicts the oldest token of a bucket that has too many. */
  #limitBucket(newest: CachedToken): void {
    let oldest = newest
    let tokens = 1
    for (; oldest.next !== null; oldest = oldest.next) tokens += 1
    if (tokens > maxBucketTokens) this.#evict(oldest)
  }

  #segmentOf({ isProtected }: CachedToken): Segment {
    return isProtected ? this.#protected : this.#probation
  }

  /** Makes a token the last used one, and moves the tokens that do not fit back to probation. */
  #protect(entry: CachedToken): void {
    this.#move(entry, true)
    const maxBytes = this.#maxBytes * protectedShare
    while (this.#protected.bytes > maxBytes)
      this.#move(this.#protected.oldest as CachedToken, false)
  }

  #move(entry: CachedToken, isProtected: boolean): void {
    this.#segmentOf(entry).remove(entry)
    entry.isProtected = isProtected
    this.#segmentOf(entry).add(entry)
  }
}

/**
 * Hashes the end of a token, because hashing the whole text takes longer than all other checks. The
 * whole text is compared. The end of a signed token is part of its signature, which nobody can choose. But
 * a client can encrypt its token again and again until many copies share a bucket.
 */
function hashOf(token: string): number {
  let hash = 0
  for (let at = Math.max(0, token.length - hashedLength); at < token.length; at += 1) {
    hash = (Math.imul(hash, hashFactor) + token.charCodeAt(at)) | 0
  }
  // V8 keeps integers of 31 bits without an object.
  return hash >>> 1
}

/** Characters of base64url with more bits than a hash. */
const hashedLength = 8
/** Odd, so that each character changes the hash. */
const hashFactor = 67
