import { GatepassError } from '../../core/errors.ts'
import type { AccessTokenClaims } from '../../tokens/claims.ts'
import type { DpopProof } from '../../tokens/dpop-proof.ts'
import type { DpopProofs } from './proofs.ts'

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
