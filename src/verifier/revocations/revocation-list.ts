import type { AccessTokenClaims } from '../../tokens/access-token.ts'
import type { RevocationEntry } from '../../tokens/revocation-tokens.ts'

/** Revocations of one issuer, in memory: asked at each use of a token. */
export interface Revocations {
  /**
   * Tells whether a verified token is revoked, from memory: a promise refuses the token.
   *
   * @param kid id of the key that signed the token
   */
  isRevoked(claims: AccessTokenClaims, kid: string): boolean
  /**
   * Returns how many seconds ago the list was known to be complete; Infinity if it never was. Without
   * this method, a use that fails closed is always refused.
   */
  stalenessSeconds?(): number
  /** Largest staleness for a use without `failClosed`. Default: any. */
  readonly maxStalenessSeconds?: number | undefined
  /** Whether the first list is still missing. The first token then waits for `ready()`. */
  readonly isPending?: boolean
  /** Resolves when the first list is loaded, or cannot be loaded soon. */
  ready?(): Promise<void>
  /** The `revocations` of `verifier.status()`. */
  status?(): RevocationsStatus
  /** Called when the verifier is closed. */
  close?(): Promise<void>
}

export const revocationStates = ['streaming', 'polling', 'down'] as const

export interface RevocationsStatus {
  /** Where updates come from; `down` while there are none. */
  readonly state: (typeof revocationStates)[number]
  /** Seconds since the list was known to be complete; before the first list, since the start. */
  readonly lagSeconds: number
  /** Whether the list was ever complete. */
  readonly isLoaded: boolean
  /** Number of revoked sessions, users and keys; a revocation of all tokens counts as one. */
  readonly entries: number
  /** How often the list was full, so that its oldest entries were replaced by a coarser rule. */
  readonly coarsened: number
  /** Why the last request failed; null if it succeeded, or while the stream is open. */
  readonly lastError: string | null
}

/** No issuer revokes as many keys while they could still be in a JWKS. */
const maxKeys = 1000
/** A revoked key is kept longer than a key set may be used without a newer one (30 days). */
const keyLifetime_s = 31 * 24 * 60 * 60
/** Share of a full list that is replaced by one rule for all tokens. */
const coarsenedShare = 0.25

/**
 * The revocations that a verifier knows. Merging is monotonic: of two entries for one subject the
 * later wins, and an entry is removed only when all its tokens have expired.
 * @internal
 */
export class RevocationList {
  readonly #maxEntries: number
  readonly #clockToleranceSeconds: number
  readonly #sessions = new Map<string, number>()
  readonly #users = new Map<string, number>()
  readonly #keys = new Map<string, number>()
  /** All tokens signed until then are revoked. */
  #all_s = Number.NEGATIVE_INFINITY
  #isEmpty = true
  #coarsened = 0

  /**
   * @param maxEntries limit of the number of sessions and users
   * @param clockToleranceSeconds how much later than its revocation a token may be dated. Default: 0.
   */
  constructor(maxEntries: number, clockToleranceSeconds = 0) {
    this.#maxEntries = maxEntries
    this.#clockToleranceSeconds = clockToleranceSeconds
  }

  get entries(): number {
    const forAll = this.#all_s === Number.NEGATIVE_INFINITY ? 0 : 1
    return this.#sessions.size + this.#users.size + this.#keys.size + forAll
  }

  /** How often the list was full. */
  get coarsened(): number {
    return this.#coarsened
  }

  /** Called at each use of a token. */
  isRevoked({ iat, sid, sub }: AccessTokenClaims, kid: string): boolean {
    if (this.#isEmpty) return false
    if (iat <= this.#all_s) return true
    if (this.#keys.size > 0 && this.#keys.has(kid)) return true
    // The `iat` does not matter: a replica with a fast clock may have dated a token later.
    if (sid !== undefined && this.#sessions.has(sid)) return true
    const until_s = this.#users.get(sub)
    return until_s !== undefined && iat <= until_s
  }

  isKeyRevoked(kid: string): boolean {
    return this.#keys.has(kid)
  }

  /**
   * Adds an entry. If the list is full, one rule for all tokens replaces the oldest entries. More
   * tokens are refused then, never fewer, and a refresh replaces a refused token.
   *
   * @returns whether the entry was unknown
   * @throws Error if too many keys are revoked
   */
  add({ kind, id, at_s }: RevocationEntry): boolean {
    this.#isEmpty = false
    if (kind === 'all') return this.#revokeAll(at_s)
    const list = { session: this.#sessions, user: this.#users, key: this.#keys }[kind]
    const known_s = list.get(id)
    if (known_s !== undefined && known_s >= at_s) return false
    if (kind === 'key' && known_s === undefined && list.size === maxKeys) {
      throw new Error(`more than ${maxKeys} keys are revoked`)
    }
    list.set(id, at_s)
    if (this.#sessions.size + this.#users.size > this.#maxEntries) this.#coarsen()
    return true
  }

  /** Removes the entries whose tokens have expired, `kept_s` after the revocation. */
  prune(now_s: number, kept_s: number): void {
    removeBefore(this.#sessions, now_s - kept_s)
    removeBefore(this.#users, now_s - kept_s)
    removeBefore(this.#keys, now_s - kept_s - keyLifetime_s)
    if (this.#all_s < now_s - kept_s) this.#all_s = Number.NEGATIVE_INFINITY
    this.#isEmpty = this.entries === 0
  }

  #revokeAll(at_s: number): boolean {
    if (at_s <= this.#all_s) return false
    this.#all_s = at_s
    return true
  }

  #coarsen(): void {
    this.#coarsened += 1
    const times = Float64Array.from([...this.#sessions.values(), ...this.#users.values()]).sort()
    const until_s = times[Math.floor(times.length * coarsenedShare)] ?? 0
    // A replica with a fast clock may have dated a token of a revoked session later.
    this.#revokeAll(until_s + this.#clockToleranceSeconds)
    removeBefore(this.#sessions, until_s + 1)
    removeBefore(this.#users, until_s + 1)
  }
}

function removeBefore(list: Map<string, number>, before_s: number): void {
  for (const [id, at_s] of list) if (at_s < before_s) list.delete(id)
}
