import { GatepassError } from '../core/errors.ts'
import { type AccessTokenClaims, hasScopes } from '../tokens/claims.ts'
import { checkAudience } from './claims.ts'
import type { DpopPresentation } from './dpop/possession.ts'
import type { Revocations } from './revocation-list.ts'

/** What one use of a token asks of it, beyond being valid. */
export interface TokenDemands {
  /** The scopes it must have, all of them, separated by spaces (RFC 6749 §3.3). */
  readonly scope?: string
  /** `aud` must hold one of these too, besides one of those in the options of the verifier. */
  readonly audience?: string | readonly string[]
  /**
   * Refuse rather than trust a list of revocations that is older than this; true stands for 30 s.
   * By default the list may be as old as the options of the verifier say, or as it is.
   */
  readonly failClosed?: boolean | { readonly maxStaleness_s: number }
  /**
   * The token was presented by the scheme `DPoP`: it must be bound to a key, and this must prove
   * possession of it (RFC 9449). Without it, a token that is bound to a key is refused.
   */
  readonly dpop?: DpopPresentation | undefined
}

const maxStaleness_sDefault = 30

/**
 * Checks what one use of a good token asks for. Called at each use, from the cache or not.
 *
 * @throws `revocations_stale`, `token_claims` or `scope_insufficient`
 */
export function checkDemands(
  claims: AccessTokenClaims,
  demands: TokenDemands,
  revocations: Revocations | null,
): void {
  const { failClosed, audience, scope } = demands
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
  failClosed: TokenDemands['failClosed'],
  revocations: Revocations | null,
): number | undefined {
  if (failClosed === undefined) return revocations?.maxStaleness_s
  if (failClosed === false) return undefined
  return failClosed === true ? maxStaleness_sDefault : failClosed.maxStaleness_s
}
