import { type FieldProblem, GatepassError } from '../core/errors.ts'
import type { JsonObject, JsonValue } from '../core/json.ts'
import type { AccessTokenClaims, SignedAccessToken } from '../tokens/access-token.ts'
import { isJsonObject, parseStrictJson } from '../tokens/strict-decoding.ts'
import { type ClaimCheck, isName, type TokenFormat } from './token-format.ts'

export interface ClaimRules {
  /** The accepted `iss`. */
  readonly issuer: string
  /** `aud` must contain one of these; null accepts any `aud`. */
  readonly audiences: readonly string[] | null
  /** Largest accepted difference between the clocks of issuer and verifier, in seconds. */
  readonly clockToleranceSeconds: number
  /** The form of the access tokens of the issuer. */
  readonly format: TokenFormat
}

/**
 * Reads the claims of a token whose signature is valid.
 *
 * @returns the claims, deeply frozen; null if they name another issuer
 * @throws `token_type` or `token_claims` if it is not an access token of the issuer
 */
export function readClaims(
  { header: { type }, payload }: Pick<SignedAccessToken, 'header' | 'payload'>,
  { issuer, audiences, format }: Pick<ClaimRules, 'issuer' | 'audiences' | 'format'>,
): AccessTokenClaims | null {
  const claims = parseStrictJson(payload)
  if (!isJsonObject(claims)) {
    throw new GatepassError('token_claims', {
      cause: new Error('the payload is not a JSON object'),
    })
  }
  // Checked first, because the format of this issuer does not apply to the tokens of another
  // issuer.
  if (isName(claims.iss) && claims.iss !== issuer) return null
  const isOtherToken = format.foreignClaims.some((name) => Object.hasOwn(claims, name))
  if (!format.types.has(type) || isOtherToken) throw new GatepassError('token_type')
  const problems = format.checks.filter(({ name, isValid }) => !isValid(claims[name]))
  if (problems.length > 0) throw invalidClaims(problems)
  // Cached tokens share these strings, which takes less memory.
  const writable = claims as Record<string, JsonValue | undefined>
  writable.iss = issuer
  const audience = audiences?.find((one) => one === claims.aud)
  if (audience !== undefined) writable.aud = audience
  return deepFreeze(claims as AccessTokenClaims & JsonObject)
}

/** @throws `token_claims` if the token is for another audience */
export function checkAudience(
  { aud }: AccessTokenClaims,
  accepted: readonly string[] | null,
): void {
  if (accepted === null || isFor(aud, accepted)) return
  throw invalidClaims([{ name: 'aud', expected: `must be or hold ${oneOf(accepted)}` }])
}

/** @param issuers the issuers that may have signed the token */
export function anotherIssuer(issuers: readonly string[]): GatepassError {
  return invalidClaims([{ name: 'iss', expected: `must be ${oneOf(issuers)}` }])
}

/**
 * Checks the times of a token, at each use (RFC 9068 §4).
 *
 * @throws `token_expired` or `token_not_yet_valid`
 */
export function checkTimes(
  { exp, iat, nbf = 0 }: AccessTokenClaims,
  { clockToleranceSeconds }: ClaimRules,
  now_s: number,
): void {
  if (now_s >= exp + clockToleranceSeconds) throw new GatepassError('token_expired')
  if (Math.max(iat, nbf) > now_s + clockToleranceSeconds) {
    throw new GatepassError('token_not_yet_valid')
  }
}

/** Tells whether `aud` contains an accepted audience (RFC 7519 §4.1.3). */
export function isFor(
  aud: AccessTokenClaims['aud'] | undefined,
  accepted: readonly string[],
): boolean {
  if (typeof aud === 'string') return accepted.includes(aud)
  return aud?.some((one) => accepted.includes(one)) ?? false
}

/** Many requests share cached claims: no request may change them for the others. */
function deepFreeze<T extends JsonValue>(value: T): T {
  for (const child of Object.values(value as JsonObject)) {
    if (typeof child === 'object' && child !== null) deepFreeze(child)
  }
  return Object.freeze(value)
}

/** Describes what each claim must be, and quotes nothing of the token. */
function invalidClaims(claims: readonly Pick<ClaimCheck, 'name' | 'expected'>[]): GatepassError {
  const problems = claims.map(
    ({ name, expected }): FieldProblem => ({ pointer: `/${name}`, detail: expected }),
  )
  return new GatepassError('token_claims', { problems })
}

function oneOf(texts: readonly string[]): string {
  return texts.map((text) => JSON.stringify(text)).join(' or ')
}
