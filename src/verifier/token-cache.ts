import { createOldestKeys } from '../core/lru-cache.ts'
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

interface Entry extends VerifiedToken {
  /** A copy of the text: a slice would keep the whole header of its request in memory. */
  readonly token: string
  /** The key of `token` in a segment. */
  readonly cacheKey: string
  readonly bytes: number
  /** Set by a use, cleared when the entry is the oldest of its segment and moves to the end. */
  isRecent: boolean
}

/** A token with less remaining lifetime is not worth keeping. */
const minLifetime_s = 2
/** Conservative estimate of the heap size of an entry, in bytes, besides the text of the token. */
const entryOverheadBytes = 600
/** Share of the cache for tokens that were used more than once. */
const protectedShare = 7 / 8
/** Recently used entries that one request moves at most, so that no request waits for many. */
const maxMoves = 256

/**
 * Verified tokens by their whole text, in a segmented LRU.
 *
 * A new token enters the probation segment; its second use moves it to the protected segment. Only
 * the probation segment evicts, so a flood of one-time tokens cannot evict tokens in use. The
 * protected segment approximates LRU by a flag per entry (CLOCK): a hit costs one lookup.
 * @internal
 */
export class TokenCache {
  readonly #maxBytes: number
  readonly #probation = new Segment()
  readonly #protected = new Segment()
  #hits = 0
  #misses = 0
  #evictions = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Finds a token. The caller checks its expiry, key and revocation. */
  find(token: string): VerifiedToken | undefined {
    const cacheKey = keyOf(token)
    const entry = this.#protected.get(cacheKey, token) ?? this.#promote(cacheKey, token)
    if (entry === undefined) {
      this.#misses += 1
      return undefined
    }
    this.#hits += 1
    entry.isRecent = true
    return entry
  }

  #promote(cacheKey: string, token: string): Entry | undefined {
    const entry = this.#probation.remove(cacheKey, token)
    if (entry === undefined) return undefined
    this.#protected.add(entry)
    for (let moves = 0; this.#protected.bytes > this.#maxBytes * protectedShare; moves += 1) {
      const oldest = this.#protected.removeOldest()
      if (oldest === undefined) break
      const isKept = oldest.isRecent && moves < maxMoves
      oldest.isRecent = false
      if (isKept) this.#protected.add(oldest)
      else this.#probation.add(oldest)
    }
    return entry
  }

  /** Adds a token that was verified a moment ago. */
  add(token: string, { claims, key, issuer }: VerifiedToken, now_s: number): void {
    if (claims.exp - now_s < minLifetime_s) return
    const bytes = entryOverheadBytes + token.length
    const copy = copyOf(token)
    const cacheKey = keyOf(copy)
    const entry = { token: copy, cacheKey, bytes, claims, key, issuer, isRecent: false }
    // Concurrent requests may have verified and added the same token.
    const isProtected = this.#protected.remove(cacheKey, copy) !== undefined
    if (isProtected) this.#protected.add(entry)
    else this.#probation.add(entry)
    while (this.#bytes > this.#maxBytes) {
      if (this.#probation.removeOldest() === undefined) this.#protected.removeOldest()
      this.#evictions += 1
    }
  }

  remove(token: string): void {
    const cacheKey = keyOf(token)
    this.#protected.remove(cacheKey, token)
    this.#probation.remove(cacheKey, token)
  }

  status(): TokenCacheStatus {
    return {
      tokens: this.#probation.size + this.#protected.size,
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
}

/**
 * Entries in the order in which they were added.
 *
 * The key of an entry is the end of its token, because hashing the whole text takes longer than all
 * other checks. The whole text is compared. The end is part of a valid signature, which nobody can
 * choose; should two tokens share it, the later one replaces the other.
 */
class Segment {
  bytes = 0
  /** A Map keeps the order of insertion. */
  readonly #entries = new Map<string, Entry>()
  readonly #nextOldest = createOldestKeys(this.#entries)

  get size(): number {
    return this.#entries.size
  }

  get(cacheKey: string, token: string): Entry | undefined {
    const entry = this.#entries.get(cacheKey)
    return entry?.token === token ? entry : undefined
  }

  add(entry: Entry): void {
    this.#removeKey(entry.cacheKey)
    this.#entries.set(entry.cacheKey, entry)
    this.bytes += entry.bytes
  }

  remove(cacheKey: string, token: string): Entry | undefined {
    return this.get(cacheKey, token) && this.#removeKey(cacheKey)
  }

  removeOldest(): Entry | undefined {
    const oldest = this.#nextOldest()
    return oldest === undefined ? undefined : this.#removeKey(oldest)
  }

  #removeKey(key: string): Entry | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    this.#entries.delete(key)
    this.bytes -= entry.bytes
    return entry
  }
}

/** Characters at the end of a token that are its key: over 128 bits of the signature. */
const keyLength = 22

function keyOf(token: string): string {
  return token.slice(-keyLength)
}

function copyOf(token: string): string {
  return Buffer.from(token, 'latin1').toString('latin1')
}
