import type { AccessTokenClaims } from '../tokens/claims.ts'
import { maxTokenBytesDefault } from '../tokens/compact.ts'
import type { VerificationKey } from '../tokens/verification-key.ts'
import type { TrustedIssuer, VerifiedToken } from './judgement.ts'
import { createPrints, TokenIndex } from './token-index.ts'
import { TrialTokens } from './trial-tokens.ts'

/** Below, there is no use for a cache; above, a heap of Node's default size has no room for it. */
export const cacheBytesRange = { min: 1024 ** 2, max: 2 * 1024 ** 3, byDefault: 128 * 1024 ** 2 }

export interface TokenCacheStatus {
  readonly tokens: number
  /** An estimate of the memory in use. */
  readonly bytes: number
  readonly maxBytes: number
  /** How often a token was found here, and how often it was not, since the start. */
  readonly hits: number
  readonly misses: number
  /** How many tokens made room for others. */
  readonly evictions: number
}

/** Where tokens are from: one for all tokens of a key. */
export interface TokenOrigin {
  readonly issuer: TrustedIssuer
  readonly key: VerificationKey
}

/** A token that is kept. */
export interface CachedToken {
  readonly claims: AccessTokenClaims
  readonly origin: TokenOrigin
}

interface Entry extends CachedToken {
  token: string
  readonly print: number
  /** What it takes; a look at the length of an old token would go to memory for it. */
  readonly bytes: number
  claims: AccessTokenClaims
  origin: TokenOrigin
  wasUsed: boolean
  newer: Entry | null
  older: Entry | null
}

/** In the place of the claims of a token that is gone; nobody would take them for good. */
const goneClaims: AccessTokenClaims = Object.freeze({
  iss: '',
  sub: '',
  aud: '',
  exp: 0,
  iat: 0,
  jti: '',
  client_id: '',
})

/** What is left of a token's life for it to be worth keeping. */
const lifeMin_s = 2
/** The part of the room that is for tokens which were used once. */
const trialShare = 1 / 8
/** Above what was measured: 900 bytes of heap with the claims of a token of 548 characters. */
const entryBytes = 330
const bytesPerCharacter = 1.5
/** How many tokens at most are moved to make room for one, so that no request waits for many. */
const movesMax = 256

/**
 * Tokens that were found good, by their text.
 *
 * A new token is on trial, and the oldest on trial goes first. Which is used again has its claims read
 * again, and stays, in a queue of its own where the oldest goes that was not used of late. So
 * however many tokens are sent once each, they make one another go and not those that are sent again.
 */
export class TokenCache {
  readonly #printOf = createPrints()
  readonly #trial: TrialTokens
  readonly #entries = new TokenIndex<Entry>((entry, token) => entry.token === token)
  readonly #queue = new Queue()
  readonly #origins = new WeakMap<VerificationKey, TokenOrigin>()
  readonly #maxBytes: number
  readonly #read: (token: string) => AccessTokenClaims
  #hits = 0
  #misses = 0
  #evictions = 0

  /** @param read gives the claims of a token whose signature was found good */
  constructor(maxBytes: number, read: (token: string) => AccessTokenClaims) {
    this.#maxBytes = maxBytes
    this.#trial = new TrialTokens(maxBytes)
    this.#read = read
  }

  /** Whether it may still be used is for the caller to check: time, key and revocation. */
  find(token: string): CachedToken | undefined {
    const print = this.#printOf(token)
    const entry = this.#entries.find(token, print) ?? this.#promote(token, print)
    if (entry === undefined) return undefined
    this.#hits += 1
    entry.wasUsed = true
    return entry
  }

  /** One more token that was not found. */
  countMiss(): void {
    this.#misses += 1
  }

  /** Keeps a token that was found good just now. */
  keep(token: string, { claims, key, issuer }: VerifiedToken, now_s: number): void {
    if (claims.exp - now_s < lifeMin_s) return
    const print = this.#printOf(token)
    const origin = this.#originOf(key, issuer)
    // Of requests that checked it at the same time, one has kept it, and another has used it since.
    const entry = this.#entries.find(token, print)
    if (entry !== undefined) {
      entry.claims = claims
      entry.origin = origin
      return
    }
    this.#trial.add(token, print, origin)
    this.#makeRoom()
  }

  /** Takes a token that is used again off trial. */
  #promote(token: string, print: number): Entry | undefined {
    const origin = this.#trial.take(token, print)
    if (origin === undefined) return undefined
    const entry: Entry = {
      token: copyOf(token),
      print,
      bytes: entryBytes + Math.ceil(bytesPerCharacter * token.length),
      claims: this.#read(token),
      origin,
      wasUsed: true,
      newer: null,
      older: null,
    }
    this.#entries.set(token, print, entry)
    this.#queue.push(entry)
    this.#makeRoom()
    return entry
  }

  #originOf(key: VerificationKey, issuer: TrustedIssuer): TokenOrigin {
    const known = this.#origins.get(key)
    if (known?.issuer === issuer) return known
    const origin = { issuer, key }
    this.#origins.set(key, origin)
    return origin
  }

  drop(token: string): void {
    const print = this.#printOf(token)
    this.#trial.take(token, print)
    const entry = this.#entries.find(token, print)
    if (entry !== undefined) this.#remove(entry)
  }

  status(): TokenCacheStatus {
    return {
      tokens: this.#trial.size + this.#entries.size,
      bytes: this.#bytes,
      maxBytes: this.#maxBytes,
      hits: this.#hits,
      misses: this.#misses,
      evictions: this.#evictions,
    }
  }

  get #bytes(): number {
    return this.#trial.bytes + this.#queue.bytes
  }

  #makeRoom(): void {
    let moves = 0
    while (this.#bytes > this.#maxBytes) {
      const { oldest } = this.#queue
      if (oldest === null || this.#trial.bytes > this.#maxBytes * trialShare) {
        this.#evictions += this.#trial.dropOldest()
      } else if (oldest.wasUsed && moves < movesMax) {
        moves += 1
        oldest.wasUsed = false
        this.#queue.remove(oldest)
        this.#queue.push(oldest)
      } else {
        this.#evictions += 1
        this.#remove(oldest)
      }
    }
  }

  /**
   * What is gone lets go of everything: until it looks at all of the heap, V8 takes for alive what an
   * old object points to, be that object itself dead. It would copy each token that was ever kept.
   */
  #remove(entry: Entry): void {
    this.#entries.delete(entry.print, entry)
    this.#queue.remove(entry)
    entry.token = ''
    entry.claims = goneClaims
  }
}

/** Where tokens are copied. */
let copied = Buffer.allocUnsafeSlow(maxTokenBytesDefault)

/** The same text on its own: a slice would keep alive what it was cut out of. */
function copyOf(token: string): string {
  if (token.length > copied.length) copied = Buffer.allocUnsafeSlow(token.length)
  copied.write(token, 'latin1')
  return copied.toString('latin1', 0, token.length)
}

/** Entries in the order in which they came. */
class Queue {
  bytes = 0
  oldest: Entry | null = null
  #newest: Entry | null = null

  push(entry: Entry): void {
    entry.older = this.#newest
    entry.newer = null
    if (this.#newest === null) this.oldest = entry
    else this.#newest.newer = entry
    this.#newest = entry
    this.bytes += entry.bytes
  }

  remove(entry: Entry): void {
    const { older, newer } = entry
    if (older === null) this.oldest = newer
    else older.newer = newer
    if (newer === null) this.#newest = older
    else newer.older = older
    entry.older = null
    entry.newer = null
    this.bytes -= entry.bytes
  }
}
