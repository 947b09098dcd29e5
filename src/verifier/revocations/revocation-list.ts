import type { AccessTokenClaims } from '../../tokens/access-token.ts'
import type { RevokedEntry } from '../../tokens/revocation-tokens.ts'

/** No issuer revokes so many keys while any of them could still be in a JWKS. */
const keysMax = 1000
/** A key set may serve for 30 days while no newer one can be had, and a revoked key in it as long. */
const keysKept_s = 31 * 24 * 60 * 60
/** How much of the list gives way to one rule for all when it is full. */
const coarsenedShare = 0.25

/**
 * What a verifier refuses, in memory. A rule never weakens: of two for one subject the later wins,
 * and only time takes one away.
 */
export class RevocationRules {
  readonly #entriesMax: number
  readonly #sessions = new Map<string, number>()
  readonly #users = new Map<string, number>()
  readonly #keys = new Map<string, number>()
  /** Tokens signed until then have ended, whoever has them. */
  #all_s = Number.NEGATIVE_INFINITY
  #isEmpty = true
  #coarsened = 0

  /** @param entriesMax how many sessions and users are kept apart */
  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax
  }

  get entries(): number {
    const forAll = this.#all_s === Number.NEGATIVE_INFINITY ? 0 : 1
    return this.#sessions.size + this.#users.size + this.#keys.size + forAll
  }

  /** How often the list was full, so that its oldest entries became one rule for all. */
  get coarsened(): number {
    return this.#coarsened
  }

  /** Called at each use of a token. */
  isRevoked({ iat, sid, sub }: AccessTokenClaims, kid: string): boolean {
    if (this.#isEmpty) return false
    if (iat <= this.#all_s) return true
    if (this.#keys.size > 0 && this.#keys.has(kid)) return true
    // A session ends for good: what a replica with a fast clock signed for it has ended too.
    if (sid !== undefined && this.#sessions.has(sid)) return true
    const until_s = this.#users.get(sub)
    return until_s !== undefined && iat <= until_s
  }

  isKeyRevoked(kid: string): boolean {
    return this.#keys.has(kid)
  }

  /**
   * Takes an entry in. Where there are too many sessions and users, the oldest become a rule for
   * all: more tokens are refused then (who has one refreshes it), never fewer.
   *
   * @returns whether it was not known
   * @throws Error for more keys than can be
   */
  add({ kind, id, at_s }: RevokedEntry): boolean {
    this.#isEmpty = false
    if (kind === 'all') return this.#endAll(at_s)
    const list = { session: this.#sessions, user: this.#users, key: this.#keys }[kind]
    const known_s = list.get(id)
    if (known_s !== undefined && known_s >= at_s) return false
    if (kind === 'key' && known_s === undefined && list.size === keysMax) {
      throw new Error(`more than ${keysMax} keys are revoked`)
    }
    list.set(id, at_s)
    if (this.#sessions.size + this.#users.size > this.#entriesMax) this.#coarsen()
    return true
  }

  /** Drops what has become moot: whatever it was about has expired `kept_s` after it. */
  prune(now_s: number, kept_s: number): void {
    dropUntil(this.#sessions, now_s - kept_s)
    dropUntil(this.#users, now_s - kept_s)
    dropUntil(this.#keys, now_s - kept_s - keysKept_s)
    if (this.#all_s < now_s - kept_s) this.#all_s = Number.NEGATIVE_INFINITY
    this.#isEmpty = this.entries === 0
  }

  #endAll(at_s: number): boolean {
    if (at_s <= this.#all_s) return false
    this.#all_s = at_s
    return true
  }

  #coarsen(): void {
    this.#coarsened += 1
    const times = Float64Array.from([...this.#sessions.values(), ...this.#users.values()]).sort()
    const until_s = times[Math.floor(times.length * coarsenedShare)] ?? 0
    this.#endAll(until_s)
    dropUntil(this.#sessions, until_s + 1)
    dropUntil(this.#users, until_s + 1)
  }
}

function dropUntil(list: Map<string, number>, before_s: number): void {
  for (const [id, at_s] of list) if (at_s < before_s) list.delete(id)
}

/** What has been revoked, from memory: it is asked at each use of a token. */
export interface Revocations {
  /** @param kid the key that signed the token */
  isRevoked(claims: AccessTokenClaims, kid: string): boolean
  /**
   * How many seconds ago the list was known to be complete; Infinity if it never was. Without it a
   * demand to fail closed is never met.
   */
  staleness_s?(): number
  /** How old the list may be for a use that does not say; without it, as old as it is. */
  readonly maxStaleness_s?: number
  /**
   * Whether there is nothing to go by yet. The first token then waits for `ready()`, and so does the
   * `ready()` of the verifier.
   */
  readonly isPending?: boolean
  /** Resolves when there is something to go by, or none could be had. */
  ready?(): Promise<void>
  status?(): RevocationsStatus
  /** Called when the verifier is closed. */
  close?(): Promise<void>
}

export const revocationStates = ['streaming', 'polling', 'down'] as const

export interface RevocationsStatus {
  /** Where news comes from now; `down` while there is none. */
  readonly state: (typeof revocationStates)[number]
  /** Seconds since nothing was known to be missing; before the first time, since the start. */
  readonly lag_s: number
  /** Whether the list was ever complete. */
  readonly loaded: boolean
  /** How many sessions, users and keys are refused, and everybody as one. */
  readonly entries: number
  /** How often there were too many, so that the oldest became one rule for all. */
  readonly coarsened: number
  /** Why the last attempt to hear of news failed; null while the stream is open or all is well. */
  readonly lastError: string | null
}
