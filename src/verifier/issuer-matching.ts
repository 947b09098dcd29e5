import { GatepassError } from '../core/errors.ts'
import { isPromise, synchronous } from '../core/promise.ts'
import type { AccessTokenClaims, SignedAccessToken } from '../tokens/access-token.ts'
import type { VerificationKey } from '../tokens/verification-key.ts'
import { anotherIssuer, type ClaimRules, readClaims } from './claims.ts'
import type { KeyLookup, KeySource } from './keys/key-source.ts'
import type { Revocations } from './revocations/revocation-list.ts'

/** An issuer whose tokens are accepted. */
export interface TrustedIssuer {
  readonly rules: ClaimRules
  readonly keys: KeySource
  readonly revocations: Revocations | null
}

/** A token with a valid signature of a trusted issuer, for an accepted audience. */
export interface VerifiedToken {
  readonly claims: AccessTokenClaims
  readonly key: VerificationKey
  readonly issuer: TrustedIssuer
}

/** Why an issuer does not match, most informative first. */
const mismatchCodes = [
  'keys_unavailable',
  'token_claims',
  'token_signature',
  'token_algorithm',
  'token_key_unknown',
] as const

type MismatchCode = (typeof mismatchCodes)[number]

interface Mismatch {
  readonly code: MismatchCode
  readonly issuer: TrustedIssuer
}

/** The verified token, or why each issuer does not match, in the order of the issuers. */
export type MatchResult = VerifiedToken | readonly Mismatch[]

/**
 * Finds the issuer that signed a token, by the key that each issuer has for `kid` and `alg`. No claim is read
 * before a signature is valid, and `iss` must then be the issuer of that key. An issuer with the `kid`, or
 * even the key, of another one neither speaks for it nor blocks its tokens.
 *
 * @returns no promise if `verifySignature` returns none
 */
export function matchIssuer(
  token: SignedAccessToken,
  issuers: readonly TrustedIssuer[],
  verifySignature: (token: SignedAccessToken, key: VerificationKey) => boolean | Promise<boolean>,
): MatchResult | Promise<MatchResult> {
  const mismatches: Mismatch[] = []
  const { header } = token

  function matchFrom(position: number): MatchResult | Promise<MatchResult> {
    const issuer = issuers[position]
    if (issuer === undefined) return mismatches
    const found = issuer.keys.find(header.kid, header.alg)
    const key = synchronous(found, 'find returned a promise. It must answer from memory.')
    const isSigned = typeof key !== 'string' && verifySignature(token, key)
    const evaluate = (isValid: boolean) => {
      const result = evaluateIssuer(issuer, key, isValid, token)
      if (typeof result !== 'string') return result
      mismatches.push({ code: result, issuer })
      return matchFrom(position + 1)
    }
    return isPromise(isSigned) ? isSigned.then(evaluate) : evaluate(isSigned)
  }
  return matchFrom(0)
}

/** @param isSigned whether the signature is valid under the key */
function evaluateIssuer(
  issuer: TrustedIssuer,
  key: KeyLookup,
  isSigned: boolean,
  token: SignedAccessToken,
): VerifiedToken | MismatchCode {
  if (typeof key === 'string') return key
  if (isSigned !== true) return 'token_signature'
  const claims = readClaims(token, issuer.rules)
  return claims === null ? 'token_claims' : { claims, key, issuer }
}

export function isVerified(result: MatchResult): result is VerifiedToken {
  return !Array.isArray(result)
}

/** Tells whether the issuer still publishes the key that verified a token: the same object. */
export function isKeyInUse({ key, issuer }: VerifiedToken): boolean {
  return issuer.keys.find(key.kid, key.alg) === key
}

/** Lists the issuers that may have published a key which is not loaded yet. */
export function issuersToRefresh(mismatches: readonly Mismatch[]): TrustedIssuer[] {
  return mismatches.filter(mayBePublished).map(({ issuer }) => issuer)
}

/** Lists the mismatches that fresh keys cannot change. */
export function finalMismatches(mismatches: readonly Mismatch[]): Mismatch[] {
  return mismatches.filter((mismatch) => !mayBePublished(mismatch))
}

function mayBePublished({ code }: Mismatch): boolean {
  return code === 'token_key_unknown' || code === 'keys_unavailable'
}

/** Returns the error for a token that matches no issuer. */
export function mismatchError(mismatches: readonly Mismatch[]): GatepassError {
  const code = mismatchCodes.find((one) => mismatches.some((mismatch) => mismatch.code === one))
  if (code !== 'token_claims') return new GatepassError(code ?? 'token_key_unknown')
  const signers = mismatches.filter((mismatch) => mismatch.code === 'token_claims')
  return anotherIssuer(signers.map(({ issuer }) => issuer.rules.issuer))
}
