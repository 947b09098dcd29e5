import { type FieldProblem, GatepassError } from '../core/errors.ts'
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
  if (!isJsonObject(claims)) {
    throw new GatepassError('token_claims', { cause: new Error('the payload is no JSON object') })
  }
  const problems = forms.filter(({ name, isFit }) => !isFit(claims[name]))
  if (problems.length > 0) throw unfitClaims(problems)
  const accessTokenClaims = claims as AccessTokenClaims & JsonObject
  shareRepeated(accessTokenClaims)
  return deepFreeze(accessTokenClaims)
}

/** @throws `token_claims` if the token is for others */
export function checkAudience(
  { aud }: AccessTokenClaims,
  accepted: readonly string[] | null,
): void {
  if (accepted === null || isFor(aud, accepted)) return
  throw unfitClaims([{ name: 'aud', expected: `must be or hold ${oneOf(accepted)}` }])
}

/** @param issuers those that may have signed the token */
export function anotherIssuer(issuers: readonly string[]): GatepassError {
  return unfitClaims([{ name: 'iss', expected: `must be ${oneOf(issuers)}` }])
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

/** What a claim must be, in words for whoever mints the token. */
interface ClaimForm {
  readonly name: string
  readonly expected: string
  readonly isFit: Check
}

const required = (name: string, isFit: Check, form: string): ClaimForm => ({
  name,
  expected: `must be ${form}`,
  isFit,
})

const optional = (name: string, isFit: Check, form: string): ClaimForm => ({
  name,
  expected: `must be ${form}, or missing`,
  isFit: (value) => value === undefined || isFit(value),
})

const nonEmpty = 'a string that is not empty'
const seconds = 'whole seconds since 1970'

/** The claims that RFC 9068 §2.2 requires, and the form of these and of ours. */
const forms: readonly ClaimForm[] = [
  required('iss', isName, nonEmpty),
  required('sub', isName, nonEmpty),
  required('aud', isAudience, 'a string, or an array of strings'),
  required('exp', isTime, seconds),
  required('iat', isTime, seconds),
  required('jti', isName, nonEmpty),
  required('client_id', isName, nonEmpty),
  optional('nbf', isTime, seconds),
  optional('auth_time', isTime, seconds),
  optional('scope', isText, 'a string'),
  optional('sid', isText, 'a string'),
  optional('amr', isTexts, 'an array of strings'),
  optional('cnf', isKeyThumbprint, '{ jkt } with a thumbprint of RFC 7638, and no more'),
]

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

/** Says what each claim must be, and nothing of what the token has. */
function unfitClaims(claims: readonly Pick<ClaimForm, 'name' | 'expected'>[]): GatepassError {
  const problems = claims.map(
    ({ name, expected }): FieldProblem => ({ pointer: `/${name}`, detail: expected }),
  )
  return new GatepassError('token_claims', { problems })
}

function oneOf(texts: readonly string[]): string {
  return texts.map((text) => JSON.stringify(text)).join(' or ')
}
