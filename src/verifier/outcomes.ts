import type { ErrorCode } from '../core/errors.ts'

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
