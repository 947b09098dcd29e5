import { GatepassError } from '../core/errors.ts'
import type { JsonObject, JsonValue } from '../core/json.ts'
import type { AccessTokenClaims } from '../tokens/claims.ts'
import { isJsonObject, parseStrictJson } from '../tokens/json.ts'
import { isThumbprint } from '../tokens/jwk-thumbprint.ts'
import { shareRepeated } from './repeated-claims.ts'

export interface ClaimRules {
  /** The one accepted `iss`. */
  readonly issuer: string
  /** The accepted audiences, of which `aud` must hold one; null to accept any `aud`. */
  readonly audiences: readonly string[] | null
  /** How far the issuer's clock and ours may be apart. */
  readonly clockTolerance_s: number
}

/**
 * Reads the claims of a token whose signature was found good.
 *
 * @returns the claims, frozen at all levels
 * @throws `token_claims` if they are not those of an access token (RFC 9068 §2.2)
 */
export function readClaims(payloadBytes: Buffer): AccessTokenClaims {
  const claims = parseStrictJson(payloadBytes)
  if (!isJsonObject(claims)) throw unacceptable('the payload is not a JSON object')
  if (!hasAccessTokenForm(claims)) throw unacceptable('a claim is missing or of the wrong form')
  shareRepeated(claims)
  return deepFreeze(claims)
}

/** @throws `token_claims` if the token is for others */
export function checkAudience({ aud }: AccessTokenClaims, { audiences }: ClaimRules): void {
  if (audiences !== null && !isFor(aud, audiences)) throw unacceptable('aud is another audience')
}

/**
 * Checks what time changes, so at each use (RFC 9068 §4).
 *
 * @throws `token_expired` or `token_not_yet_valid`
 */
export function checkTimes(
  { exp, iat, nbf = 0 }: AccessTokenClaims,
  { clockTolerance_s }: ClaimRules,
  now_s: number,
): void {
  if (now_s >= exp + clockTolerance_s) throw new GatepassError('token_expired')
  if (Math.max(iat, nbf) > now_s + clockTolerance_s) {
    throw new GatepassError('token_not_yet_valid')
  }
}

type Check = (value: JsonValue | undefined) => boolean

const isText: Check = (value) => typeof value === 'string'
const isName: Check = (value) => typeof value === 'string' && value !== ''
const isTexts: Check = (value) => Array.isArray(value) && value.every(isText)
const isAudience: Check = (value) =>
  isText(value) || (Array.isArray(value) && value.length > 0 && value.every(isText))
/** A token that is bound in a way we can't check must not pass for a bearer token (RFC 7800 §3.1). */
const isKeyThumbprint: Check = (value) =>
  isJsonObject(value) && Object.keys(value).length === 1 && isThumbprint(value.jkt)
/** A NumericDate (RFC 7519 §2), in whole seconds. */
const isTime: Check = (value) =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0

/** Whether the claims required by RFC 9068 §2.2 are there, and these and ours are of their form. */
function hasAccessTokenForm(claims: JsonObject): claims is AccessTokenClaims & JsonObject {
  return (
    isName(claims.iss) &&
    isName(claims.sub) &&
    isAudience(claims.aud) &&
    isTime(claims.exp) &&
    isTime(claims.iat) &&
    isName(claims.jti) &&
    isName(claims.client_id) &&
    isAbsentOr(isTime, claims.nbf) &&
    isAbsentOr(isTime, claims.auth_time) &&
    isAbsentOr(isText, claims.scope) &&
    isAbsentOr(isText, claims.sid) &&
    isAbsentOr(isTexts, claims.amr) &&
    isAbsentOr(isKeyThumbprint, claims.cnf)
  )
}

function isAbsentOr(check: Check, value: JsonValue | undefined): boolean {
  return value === undefined || check(value)
}

/** Whether `aud` holds one of these audiences (RFC 7519 §4.1.3). */
export function isFor(aud: AccessTokenClaims['aud'], accepted: readonly string[]): boolean {
  return typeof aud === 'string'
    ? accepted.includes(aud)
    : aud.some((one) => accepted.includes(one))
}

/** Claims may be handed to many requests, none of which may change what the next one sees. */
function deepFreeze<T extends JsonValue>(value: T): T {
  for (const child of Object.values(value as JsonObject)) {
    if (typeof child === 'object' && child !== null && !Object.isFrozen(child)) deepFreeze(child)
  }
  return Object.freeze(value)
}

/** The client reads the code alone; the log, which rule it was. */
function unacceptable(reason: string): GatepassError {
  return new GatepassError('token_claims', { cause: new Error(reason) })
}
