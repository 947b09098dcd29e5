import type { KeySourceStatus } from './keys/key-source.ts'
import type { OutcomeCounts } from './outcomes.ts'
import type { RevocationsStatus } from './revocation-list.ts'
import type { TokenCacheStatus } from './token-cache.ts'

/** How a verifier is doing. */
export interface VerifierStatus {
  /** Of the one issuer, or of the first of several. */
  readonly keys: KeySourceStatus
  /** The same; null if no revocations are followed. */
  readonly revocations: RevocationsStatus | null
  readonly issuers: readonly IssuerStatus[]
  /** Null if it was switched off. */
  readonly cache: TokenCacheStatus | null
  /** How many tokens were accepted, and how many refused for each reason, since the start. */
  readonly outcomes: OutcomeCounts
}

export interface IssuerStatus {
  readonly issuer: string
  readonly keys: KeySourceStatus
  readonly revocations: RevocationsStatus | null
}
