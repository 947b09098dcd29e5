import { GatepassError } from '../core/errors.ts'
import type { JsonObject, JsonValue } from '../core/json.ts'
import type { AccessTokenClaims } from '../tokens/claims.ts'
import { isJsonObject, parseStrictJson } from '../tokens/json.ts'

export interface ClaimRules {
  /** The one accepted `iss`. */
  readonly issuer: string
  /** The accepted audiences, of which `aud` must hold one; null to accept any `aud`. */
  readonly audiences: readonly string[] | null
  /** How far the issuer's clock and ours may be apart. */
  readonly clockTolerance_s: number
}

/**
 * Reads the claims of a token whose signature was found good, and checks them (RFC 9068 §4).
 *
 * @returns the claims, frozen at all levels
 * @throws `token_claims`, `token_expired` or `token_not_yet_valid`
 */
export function checkClaims(
  payloadBytes: Uint8Array,
  rules: ClaimRules,
  now_s: number,
): AccessTokenClaims {
  const claims = parseStrictJson(payloadBytes)
  if (!isJsonObject(claims)) throw unacceptable('the payload is not a JSON object')
  if (!hasAccessTokenForm(claims)) throw unacceptable('a claim is missing or of the wrong form')
  if (claims.iss !== rules.issuer) throw unacceptable('iss is another issuer')
  if (!isForUs(claims.aud, rules.audiences)) throw unacceptable('aud is another audience')

  const tolerance_s = rules.clockTolerance_s
  if (now_s >= claims.exp + tolerance_s) throw new GatepassError('token_expired')
  if (Math.max(claims.iat, claims.nbf ?? 0) > now_s + tolerance_s) {
    throw new GatepassError('token_not_yet_valid')
  }
  return deepFreeze(claims)
}

type Check = (value: JsonValue) => boolean

const isText: Check = (value) => typeof value === 'string'
const isName: Check = (value) => typeof value === 'string' && value !== ''
const isTexts: Check = (value) => Array.isArray(value) && value.every(isText)
const isAudience: Check = (value) =>
  isText(value) || (Array.isArray(value) && value.length > 0 && value.every(isText))
/** A NumericDate (RFC 7519 §2), in whole seconds. */
const isTime: Check = (value) =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0

/** The required claims are those of RFC 9068 §2.2. */
const required: ReadonlyArray<readonly [string, Check]> = Object.entries({
  iss: isText,
  sub: isName,
  aud: isAudience,
  exp: isTime,
  iat: isTime,
  jti: isName,
  client_id: isName,
})
const optional: ReadonlyArray<readonly [string, Check]> = Object.entries({
  nbf: isTime,
  auth_time: isTime,
  scope: isText,
  sid: isText,
  amr: isTexts,
})

function hasAccessTokenForm(claims: JsonObject): claims is AccessTokenClaims & JsonObject {
  const passes = ([name, check]: readonly [string, Check], ifAbsent: boolean): boolean => {
    const value = claims[name]
    return value === undefined ? ifAbsent : check(value)
  }
  return (
    required.every((entry) => passes(entry, false)) &&
    optional.every((entry) => passes(entry, true))
  )
}

function isForUs(aud: AccessTokenClaims['aud'], accepted: readonly string[] | null): boolean {
  if (accepted === null) return true
  return typeof aud === 'string'
    ? accepted.includes(aud)
    : aud.some((one) => accepted.includes(one))
}

/** Claims may be handed to many requests, none of which may change what the next one sees. */
function deepFreeze<T extends JsonValue>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  for (const child of Object.values(value)) deepFreeze(child)
  return Object.freeze(value)
}

/** The client reads the code alone; the log, which rule it was. */
function unacceptable(reason: string): GatepassError {
  return new GatepassError('token_claims', { cause: new Error(reason) })
}
