import { GatepassError } from '../core/errors.ts'
import { synchronous } from '../core/promise.ts'
import { type AccessTokenClaims, hasScopes } from '../tokens/access-token.ts'
import type { DpopProof } from '../tokens/dpop-proof.ts'
import { isJsonObject } from '../tokens/strict-decoding.ts'
import { checkAudience, isNameOrNames } from './claims.ts'
import type { DpopProofs } from './dpop/dpop-proofs.ts'
import type { RequestTarget } from './dpop/target-uri.ts'
import type { Revocations } from './revocations/revocation-list.ts'

/** Requirements of one use, beyond a valid token. */
export interface TokenRequirements {
  /** Required scopes, separated by spaces (RFC 6749 §3.3). */
  readonly scope?: string
  /** `aud` must contain one of these, and one of the verifier's audiences. */
  readonly audience?: string | readonly string[]
  /**
   * Fail closed: refuse if the revocation list is older than this; true means 30 s. Default: the
   * option of the verifier, else any age.
   */
  readonly failClosed?: boolean | { readonly maxStalenessSeconds: number }
  /**
   * Set if the token was presented by the scheme `DPoP` (RFC 9449): the token must be bound to a key,
   * and the proof must be of that key. If unset, a token that is bound to a key is refused.
   */
  readonly dpop?: DpopPresentation | undefined
}

/** A token presented by the scheme `DPoP` (RFC 9449 §7.1). */
export interface DpopPresentation extends RequestTarget {
  /** The `DPoP` header of the request; undefined if missing. */
  readonly proof: string | undefined
  /**
   * The request, or any object that represents it. Several checks of one request may present its
   * proof; for any other object, the proof is a replay.
   */
  readonly request?: object | undefined
}

const defaultMaxStalenessSeconds = 30

/**
 * Which values a requirement may have, and their description for the developer of the application.
 * @internal
 */
export type RequirementCheck = readonly [isValid: (value: unknown) => boolean, expected: string]

/** @internal */
export const requirementChecks = {
  scope: [isString, 'a text, with scopes separated by spaces'],
  audience: [isNameOrNames, 'a name, or an array of names'],
  failClosed: [isFailClosed, 'true, false or { maxStalenessSeconds }'],
  dpop: [isPresentation, '{ proof, method, uri }'],
} as const satisfies { readonly [name in keyof TokenRequirements]-?: RequirementCheck }

const requirementNames: ReadonlySet<string> = new Set(Object.keys(requirementChecks))

function isString(value: unknown): boolean {
  return typeof value === 'string'
}

function isFailClosed(value: unknown): boolean {
  if (typeof value === 'boolean') return true
  if (!isJsonObject(value) || Object.keys(value).join() !== 'maxStalenessSeconds') return false
  const { maxStalenessSeconds } = value
  return Number.isFinite(maxStalenessSeconds) && Number(maxStalenessSeconds) >= 0
}

function isPresentation(value: unknown): boolean {
  return isJsonObject(value) && isString(value.method) && isString(value.uri)
}

/**
 * @throws `config_invalid` for an invalid value
 * @internal
 */
export function checkRequirement(
  name: string,
  value: unknown,
  [isValid, expected]: RequirementCheck,
): void {
  if (isValid(value)) return
  const detail = `The requirement ${name} must be ${expected}.`
  throw new GatepassError('config_invalid', { detail })
}

/**
 * Checks the requirements of one use of a verified token, cached or not.
 *
 * @throws `revocations_stale`, `token_claims` or `scope_insufficient`; `config_invalid` for a
 *   misspelled or invalid requirement, because it must not be ignored
 * @internal
 */
export function checkRequirements(
  claims: AccessTokenClaims,
  requirements: TokenRequirements,
  revocations: Revocations | null,
): void {
  for (const name in requirements) {
    if (requirementNames.has(name)) continue
    throw new GatepassError('config_invalid', { detail: `There is no requirement ${name}.` })
  }
  const { failClosed, audience, scope } = requirements
  const maxStaleness = maxStalenessOf(failClosed, revocations)
  if (maxStaleness !== Number.POSITIVE_INFINITY) {
    const staleness = synchronous(
      revocations?.stalenessSeconds?.() ?? Number.POSITIVE_INFINITY,
      'stalenessSeconds returned a promise. It must answer from memory.',
    )
    if (!(staleness <= maxStaleness)) throw new GatepassError('revocations_stale')
  }
  if (audience !== undefined) {
    checkRequirement('audience', audience, requirementChecks.audience)
    checkAudience(claims, [audience].flat())
  }
  if (scope === undefined) return
  checkRequirement('scope', scope, requirementChecks.scope)
  if (!hasScopes(claims.scope, scope)) throw new GatepassError('scope_insufficient')
}

/** Returns the largest accepted staleness in seconds. */
function maxStalenessOf(
  failClosed: TokenRequirements['failClosed'],
  revocations: Revocations | null,
): number {
  if (failClosed === undefined) return revocations?.maxStalenessSeconds ?? Number.POSITIVE_INFINITY
  checkRequirement('failClosed', failClosed, requirementChecks.failClosed)
  if (failClosed === false) return Number.POSITIVE_INFINITY
  return failClosed === true ? defaultMaxStalenessSeconds : failClosed.maxStalenessSeconds
}

/**
 * Replaces the presentation when a token is only inspected, because its holder cannot send a proof.
 * Not part of the public API.
 */
export const unpresented: DpopPresentation = Object.freeze({
  proof: undefined,
  method: '',
  uri: '',
})

/**
 * Checks the proof of possession. A token that is bound to a key requires a proof of that key, and any
 * other token must be presented as a bearer token (RFC 9449 §7.2).
 *
 * @param token the presented token
 * @param dpop undefined for a bearer token
 * @returns the proof, not marked as used yet; null for a bearer token
 * @throws `dpop_proof_missing`, `dpop_proof_invalid`, `token_unbound`; `config_invalid` for another value
 * @internal
 */
export function checkPossession(
  proofs: DpopProofs,
  { cnf }: AccessTokenClaims,
  token: string,
  dpop: DpopPresentation | undefined,
): DpopProof | null {
  if (dpop === unpresented) return null
  if (dpop !== undefined) checkRequirement('dpop', dpop, requirementChecks.dpop)
  if (cnf === undefined) {
    if (dpop === undefined) return null
    throw new GatepassError('token_unbound')
  }
  if (typeof dpop?.proof !== 'string') throw new GatepassError('dpop_proof_missing')
  const { method, uri } = dpop
  return proofs.verify(dpop.proof, { method, uri, bound: { token, jkt: cnf.jkt } })
}
