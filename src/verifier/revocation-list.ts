import type { AccessTokenClaims } from '../tokens/claims.ts'

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
