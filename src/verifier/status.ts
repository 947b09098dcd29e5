import type { ErrorCode } from '../core/errors.ts'
import type { KeySourceStatus } from './keys/key-source.ts'
import type { RevocationsStatus } from './revocations/revocation-list.ts'
import type { TokenCacheStatus } from './token-cache.ts'

/** The state of a verifier. */
export interface VerifierStatus {
  /** Keys of the issuer; of the first one if there are several. */
  readonly keys: KeySourceStatus
  /** Revocations of the same issuer; null if they are not followed. */
  readonly revocations: RevocationsStatus | null
  /** Each issuer, in the order of the options. */
  readonly issuers: readonly IssuerStatus[]
  /** Null if the cache is switched off. */
  readonly cache: TokenCacheStatus | null
  /** Number of accepted tokens, and of refused tokens by error code, since the start. */
  readonly outcomes: OutcomeCounts
}

/** The state of one issuer. */
export interface IssuerStatus {
  readonly issuer: string
  readonly keys: KeySourceStatus
  /** Null if revocations are not followed. */
  readonly revocations: RevocationsStatus | null
}

/** The possible outcomes of a verification: a closed list, which bounds the labels of a metric. */
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
  'use_dpop_nonce',
  'revocations_stale',
  'keys_unavailable',
  'internal_error',
] as const satisfies readonly ('accepted' | ErrorCode)[]

export type VerificationOutcome = (typeof verificationOutcomes)[number]

/** Number of tokens by outcome, since the start. */
export type OutcomeCounts = Readonly<Record<VerificationOutcome, number>>

/** Counts outcomes by plain numbers: a count must cost less than a cache lookup. */
export class OutcomeCounter {
  readonly #counts = Object.fromEntries(verificationOutcomes.map((outcome) => [outcome, 0])) as {
    [outcome in VerificationOutcome]: number
  }

  accepted(): void {
    this.#counts.accepted += 1
  }

  /** Another code, as thrown by a component of the application, counts as `internal_error`. */
  refused(code: ErrorCode): void {
    const isKnown = Object.hasOwn(this.#counts, code)
    this.#counts[isKnown ? (code as VerificationOutcome) : 'internal_error'] += 1
  }

  counts(): OutcomeCounts {
    return { ...this.#counts }
  }
}
