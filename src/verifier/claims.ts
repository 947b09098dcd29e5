import { type FieldProblem, GatepassError } from '../core/errors.ts'
import type { JsonObject, JsonValue } from '../core/json.ts'
import type { AccessTokenClaims } from '../tokens/access-token.ts'
import { isThumbprint } from '../tokens/dpop-proof.ts'
import { isJsonObject, parseStrictJson } from '../tokens/strict-decoding.ts'

export interface ClaimRules {
  /** The accepted `iss`. */
  readonly issuer: string
  /** `aud` must contain one of these; null accepts any `aud`. */
  readonly audiences: readonly string[] | null
  /** Largest accepted difference between the clocks of issuer and verifier, in seconds. */
  readonly clockToleranceSeconds: number
}

/** Different values of a claim that are shared. More values mean that tokens do not repeat them. */
const maxSharedValues = 256
/** Claims that most tokens of an issuer have in common. */
const sharedClaims = ['iss', 'aud', 'client_id', 'scope'] as const

/**
 * Reads the claims of tokens. Equal values of `iss`, `aud`, `client_id` and `scope` share one string,
 * so that many cached tokens take less memory.
 */
export class ClaimsReader {
  readonly #shared = new Map<string, string>()

  /**
   * Reads the claims of a token whose signature is valid.
   *
   * @returns the claims, deeply frozen
   * @throws `token_claims` if they are not those of an access token (RFC 9068 §2.2)
   */
  read(payload: Buffer): AccessTokenClaims {
    const claims = parseStrictJson(payload)
    if (!isJsonObject(claims)) {
      throw new GatepassError('token_claims', {
        cause: new Error('the payload is not a JSON object'),
      })
    }
    const problems = validators.filter(({ name, isValid }) => !isValid(claims[name]))
    if (problems.length > 0) throw invalidClaims(problems)
    const writable = claims as Record<string, JsonValue | undefined>
    for (const name of sharedClaims) {
      const value = writable[name]
      if (typeof value === 'string') writable[name] = this.#share(value)
    }
    return deepFreeze(claims as AccessTokenClaims & JsonObject)
  }

  #share(value: string): string {
    const known = this.#shared.get(value)
    if (known !== undefined) return known
    if (this.#shared.size >= maxSharedValues) this.#shared.clear()
    this.#shared.set(value, value)
    return value
  }
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

type Check = (value: JsonValue | undefined) => boolean

const isText: Check = (value) => typeof value === 'string'
const isName: Check = (value) => typeof value === 'string' && value !== ''
const isTexts: Check = (value) => Array.isArray(value) && value.every(isText)
const isAudience: Check = (value) =>
  isText(value) || (Array.isArray(value) && value.length > 0 && value.every(isText))
/** A token that is bound in an unknown way must not pass for a bearer token (RFC 7800 §3.1). */
const isKeyThumbprint: Check = (value) =>
  isJsonObject(value) && Object.keys(value).length === 1 && isThumbprint(value.jkt)
/** A NumericDate (RFC 7519 §2), in whole seconds. */
const isTime: Check = (value) =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0

/** The rule for a claim, and its description for the developer of the issuer. */
interface ClaimValidator {
  readonly name: string
  readonly expected: string
  readonly isValid: Check
}

const required = (name: string, isValid: Check, description: string): ClaimValidator => ({
  name,
  expected: `must be ${description}`,
  isValid,
})

const optional = (name: string, isValid: Check, description: string): ClaimValidator => ({
  name,
  expected: `must be ${description}, or missing`,
  isValid: (value) => value === undefined || isValid(value),
})

const nonEmpty = 'a string that is not empty'
const seconds = 'whole seconds since 1970'

/** The claims of RFC 9068 §2.2 and of Gatepass. */
const validators: readonly ClaimValidator[] = [
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

/** Tells whether `aud` contains an accepted audience (RFC 7519 §4.1.3). */
export function isFor(aud: AccessTokenClaims['aud'], accepted: readonly string[]): boolean {
  return typeof aud === 'string'
    ? accepted.includes(aud)
    : aud.some((one) => accepted.includes(one))
}

/** Cached claims are given to many requests: none may change them for the others. */
function deepFreeze<T extends JsonValue>(value: T): T {
  for (const child of Object.values(value as JsonObject)) {
    if (typeof child === 'object' && child !== null && !Object.isFrozen(child)) deepFreeze(child)
  }
  return Object.freeze(value)
}

/** Describes what each claim must be, and quotes nothing of the token. */
function invalidClaims(
  claims: readonly Pick<ClaimValidator, 'name' | 'expected'>[],
): GatepassError {
  const problems = claims.map(
    ({ name, expected }): FieldProblem => ({ pointer: `/${name}`, detail: expected }),
  )
  return new GatepassError('token_claims', { problems })
}

function oneOf(texts: readonly string[]): string {
  return texts.map((text) => JSON.stringify(text)).join(' or ')
}
