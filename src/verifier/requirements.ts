import { GatepassError } from '../core/errors.ts'
import { type AccessTokenClaims, hasScopes } from '../tokens/access-token.ts'
import type { DpopProof } from '../tokens/dpop-proof.ts'
import { checkAudience } from './claims.ts'
import type { DpopProofs } from './dpop/dpop-proofs.ts'
import type { Revocations } from './revocations/revocation-list.ts'

/** What one use requires beyond a valid token. */
export interface TokenRequirements {
  /** Required scopes, separated by spaces (RFC 6749 §3.3). */
  readonly scope?: string
  /** `aud` must contain one of these, and one of the verifier's audiences. */
  readonly audience?: string | readonly string[]
  /**
   * Fail closed: refuse if the revocation list is older than this; true means 30 s. Default: the
   * option of the verifier, else any age.
   */
  readonly failClosed?: boolean | { readonly maxStaleness_s: number }
  /**
   * Set if the token was presented by the scheme `DPoP` (RFC 9449): the token must be bound to a key,
   * and the proof must be of that key. If unset, a token that is bound to a key is refused.
   */
  readonly dpop?: DpopPresentation | undefined
}

const maxStaleness_sDefault = 30

/**
 * Checks the requirements of one use of a verified token, cached or not.
 *
 * @throws `revocations_stale`, `token_claims` or `scope_insufficient`
 */
export function checkRequirements(
  claims: AccessTokenClaims,
  requirements: TokenRequirements,
  revocations: Revocations | null,
): void {
  const { failClosed, audience, scope } = requirements
  const maxStaleness_s = allowedStaleness_s(failClosed, revocations)
  if (maxStaleness_s !== undefined) {
    const staleness_s = revocations?.staleness_s?.() ?? Number.POSITIVE_INFINITY
    if (!(staleness_s <= maxStaleness_s)) throw new GatepassError('revocations_stale')
  }
  if (audience !== undefined) checkAudience(claims, [audience].flat())
  if (scope !== undefined && !hasScopes(claims.scope, scope)) {
    throw new GatepassError('scope_insufficient')
  }
}

function allowedStaleness_s(
  failClosed: TokenRequirements['failClosed'],
  revocations: Revocations | null,
): number | undefined {
  if (failClosed === undefined) return revocations?.maxStaleness_s
  if (failClosed === false) return undefined
  return failClosed === true ? maxStaleness_sDefault : failClosed.maxStaleness_s
}

/** How a token was presented by the scheme `DPoP` (RFC 9449 §7.1). */
export interface DpopPresentation {
  /** The `DPoP` header of the request; undefined when there was none. */
  readonly proof: string | undefined
  /** The method of the request. */
  readonly method: string
  /** The absolute URI of the request, as its client has called it. Query and fragment do not matter. */
  readonly uri: string
  /**
   * The request, or any object that stands for it. The proof may be presented again for the same
   * object, so that a request can be checked in several places; for any other it is a replay.
   */
  readonly request?: object | undefined
}

/**
 * Checks that a token which is bound to a key was presented with a proof of it, and one that is not
 * as a bearer token: neither passes for the other (RFC 9449 §7.2).
 *
 * @param token as it was presented
 * @param dpop undefined when it was presented as a bearer token
 * @returns the proof, which is not used up yet; null for a bearer token
 * @throws `dpop_proof_missing`, `dpop_proof_invalid`, `token_unbound`
 */
export function checkPossession(
  proofs: DpopProofs,
  { cnf }: AccessTokenClaims,
  token: string,
  dpop: DpopPresentation | undefined,
): DpopProof | null {
  if (cnf === undefined) {
    if (dpop === undefined) return null
    throw new GatepassError('token_unbound')
  }
  if (typeof dpop?.proof !== 'string') throw new GatepassError('dpop_proof_missing')
  const { method, uri } = dpop
  return proofs.verify(dpop.proof, { method, uri, bound: { token, jkt: cnf.jkt } })
}
