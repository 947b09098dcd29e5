import { GatepassError } from '../core/errors.ts'
import { type AccessTokenClaims, hasScopes } from '../tokens/claims.ts'
import { checkAudience } from './claims.ts'
import type { DpopPresentation } from './dpop/possession.ts'
import type { Revocations } from './revocation-list.ts'

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
