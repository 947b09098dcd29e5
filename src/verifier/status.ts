import type { ErrorCode } from '../core/errors.ts'
import type { KeySourceStatus } from './keys/key-source.ts'
import type { RevocationsStatus } from './revocations/revocation-list.ts'
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

/** What can come of checking a token. Nobody but us makes this list longer. */
export const verificationOutcomes = [
  'accepted',
  'token_malformed',
  'token_algorithm',
  'token_type',
  'token_key_unknown',
  'token_signature',
  'token_claims',
  'token_expired',
  'token_not_yet_valid',
  'token_revoked',
  'token_unbound',
  'scope_insufficient',
  'dpop_proof_missing',
  'dpop_proof_invalid',
  'dpop_proof_replayed',
  'revocations_stale',
  'keys_unavailable',
  'internal_error',
] as const satisfies readonly ('accepted' | ErrorCode)[]

export type VerificationOutcome = (typeof verificationOutcomes)[number]

/** How many tokens had each outcome since the start. */
export type OutcomeCounts = Readonly<Record<VerificationOutcome, number>>

/**
 * Counts by plain numbers that are read when somebody looks: a check that is a look-up in memory must
 * not pay more for being counted.
 */
export class Outcomes {
  readonly #counts = Object.fromEntries(verificationOutcomes.map((outcome) => [outcome, 0])) as {
    [outcome in VerificationOutcome]: number
  }

  accepted(): void {
    this.#counts.accepted += 1
  }

  /** A code that is not on the list, of a part that was passed in, counts as `internal_error`. */
  refused(code: ErrorCode): void {
    const isKnown = Object.hasOwn(this.#counts, code)
    this.#counts[isKnown ? (code as VerificationOutcome) : 'internal_error'] += 1
  }

  counts(): OutcomeCounts {
    return { ...this.#counts }
  }
}
