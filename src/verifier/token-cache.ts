import { LruCache } from '../core/lru-cache.ts'
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
  readonly claims: VerifiedToken['claims']
  readonly key: VerifiedToken['key']
  readonly issuer: VerifiedToken['issuer']

  constructor(token: string, { claims, key, issuer }: VerifiedToken) {
    this.token = token
    this.claims = claims
    this.key = key
    this.issuer = issuer
  }
}

/** A token with less remaining lifetime is not worth keeping. */
const minLifetime_s = 2
/** Conservative estimate of the heap size of an entry, in bytes, besides the text of the token. */
const entryOverheadBytes = 600
/** Share of the cache for tokens that were used more than once. */
const protectedShare = 7 / 8

/**
 * Verified tokens by their whole text, in a segmented LRU. The second use of a token moves it from the
 * probation segment to the protected segment, so a flood of one-time tokens evicts no token in use.
 * Probation also has the memory that the protected segment does not use.
 * @internal
 */
export class TokenCache {
  readonly #maxBytes: number
  readonly #probation: LruCache<CachedToken, number>
  readonly #protected: LruCache<CachedToken, number>
  #hits = 0
  #misses = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
    this.#probation = new LruCache(maxBytes, bytesOf)
    this.#protected = new LruCache(maxBytes * protectedShare, bytesOf)
  }

  /** Finds a token. The caller checks its expiry, key and revocation. */
  find(token: string): VerifiedToken | undefined {
    const hash = hashOf(token)
    const entry = this.#protected.get(hash)
    const found = entry?.token === token ? entry : this.#promote(hash, token)
    if (found === undefined) this.#misses += 1
    else this.#hits += 1
    return found
  }

  #promote(hash: number, token: string): CachedToken | undefined {
    const entry = this.#probation.peek(hash)
    if (entry?.token !== token) return undefined
    this.#probation.delete(hash)
    this.#protected.set(hash, entry)
    return entry
  }

  /** Adds a token that was verified a moment ago. */
  add(token: string, verified: VerifiedToken, now_s: number): void {
    if (verified.claims.exp - now_s < minLifetime_s) return
    const entry = new CachedToken(copyOf(token), verified)
    const hash = hashOf(token)
    // Concurrent requests may have verified and added the same token.
    const isProtected = this.#protected.peek(hash)?.token === token
    if (!isProtected) this.#probation.resize(this.#maxBytes - this.#protected.weight)
    const segment = isProtected ? this.#protected : this.#probation
    segment.set(hash, entry)
  }

  remove(token: string): void {
    const hash = hashOf(token)
    for (const segment of [this.#protected, this.#probation]) {
      if (segment.peek(hash)?.token === token) segment.delete(hash)
    }
  }

  status(): TokenCacheStatus {
    const [probation, inUse] = [this.#probation, this.#protected]
    return {
      tokens: probation.size + inUse.size,
      bytes: probation.weight + inUse.weight,
      maxBytes: this.#maxBytes,
      hits: this.#hits,
      misses: this.#misses,
      evictions: probation.evictions + inUse.evictions,
    }
  }
}

function bytesOf({ token }: CachedToken): number {
  return entryOverheadBytes + token.length
}

/**
 * Hashes the end of a token, because hashing the whole text takes longer than all other checks. The
 * whole text is compared. The end is part of a valid signature, which nobody can choose. If two tokens
 * share a hash, the later token replaces the earlier one.
 */
function hashOf(token: string): number {
  let hash = 0
  for (let at = Math.max(0, token.length - hashedLength); at < token.length; at += 1) {
    hash = (Math.imul(hash, hashFactor) + token.charCodeAt(at)) | 0
  }
  return hash
}

/** Characters of base64url with more bits than a hash. */
const hashedLength = 8
/** Odd, so that each character changes the hash. */
const hashFactor = 67
