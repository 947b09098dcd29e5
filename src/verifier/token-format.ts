import type { FieldProblem } from '../core/errors.ts'
import type { JsonValue } from '../core/json.ts'
import { accessTokenType, mediaTypeOf } from '../tokens/access-token.ts'
import { isThumbprint } from '../tokens/dpop-proof.ts'
import { isJsonObject } from '../tokens/strict-decoding.ts'

/**
 * The access tokens of an issuer that does not follow RFC 9068. A profile changes the checks of
 * `typ` and of the required claims only. The signature, `iss`, `aud`, the times and `cnf` are
 * always checked.
 */
export interface TokenProfile {
  /** Accepted values of `typ`. null accepts a header without `typ`. */
  readonly tokenTypes: readonly (string | null)[]
  /** Required claims besides `iss`, `sub`, `exp` and `iat`. Other claims may be missing. */
  readonly requiredClaims: readonly string[]
  /**
   * Claims that must have a value, or one of several. They distinguish the issuer's access tokens
   * from its other tokens where `typ` does not.
   */
  readonly claimValues?: Readonly<Record<string, string | readonly string[]>>
}

/** How to check a claim, and its description for the developer of the issuer. */
export interface ClaimCheck {
  readonly name: string
  readonly expected: string
  readonly isValid: (value: JsonValue | undefined) => boolean
}

/** The form of the access tokens of an issuer. */
export interface TokenFormat {
  /** Accepted values of `typ`, as `mediaTypeOf` returns them. */
  readonly types: ReadonlySet<string | null>
  readonly checks: readonly ClaimCheck[]
  /** Claims that only tokens of another kind have. */
  readonly foreignClaims: readonly string[]
}

type Predicate = ClaimCheck['isValid']

const isText: Predicate = (value) => typeof value === 'string'
const isTexts: Predicate = (value) => Array.isArray(value) && value.every(isText)
const isAudience: Predicate = (value) =>
  isText(value) || (Array.isArray(value) && value.length > 0 && value.every(isText))
/** A token that is bound in an unknown way must not pass for a bearer token (RFC 7800 §3.1). */
const isKeyThumbprint: Predicate = (value) =>
  isJsonObject(value) && Object.keys(value).length === 1 && isThumbprint(value.jkt)
/** A NumericDate (RFC 7519 §2), in whole seconds. */
const isTime: Predicate = (value) =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0

/** Tells whether a value is a string that is not empty. */
export function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

type KnownClaim = readonly [isValid: Predicate, description: string]

const nameClaim: KnownClaim = [isName, 'a string that is not empty']
const timeClaim: KnownClaim = [isTime, 'whole seconds since 1970']
const audienceClaim: KnownClaim = [isAudience, 'a string, or an array of strings']

/** The claims of RFC 9068 §2.2 and of Gatepass. */
const knownClaims: ReadonlyMap<string, KnownClaim> = new Map([
  ['iss', nameClaim],
  ['sub', nameClaim],
  ['aud', audienceClaim],
  ['exp', timeClaim],
  ['iat', timeClaim],
  ['jti', nameClaim],
  ['client_id', nameClaim],
  ['nbf', timeClaim],
  ['auth_time', timeClaim],
  ['scope', [isText, 'a string']],
  ['sid', [isText, 'a string']],
  ['acr', [isText, 'a string']],
  ['amr', [isTexts, 'an array of strings']],
  ['cnf', [isKeyThumbprint, '{ jkt } with a thumbprint of RFC 7638, and no other member']],
])

/** The claims that every verification relies on. */
const alwaysRequired = ['iss', 'sub', 'exp', 'iat'] as const
/** The claims that RFC 9068 §2.2 requires. */
const standardRequired: readonly string[] = [...alwaysRequired, 'aud', 'jti', 'client_id']

/** Claims of an ID token (OpenID Connect Core §3.3.2.11) and of a security event (RFC 8417 §2.2). */
const claimsOfOtherTokens = ['at_hash', 'c_hash', 'events'] as const

/** @param tokenTypes the values of `typ` of tokens without a profile */
export function readTokenFormat(
  profile: TokenProfile | undefined,
  tokenTypes: readonly string[],
): TokenFormat {
  const types = profile?.tokenTypes ?? tokenTypes
  const required = profile ? [...alwaysRequired, ...profile.requiredClaims] : standardRequired
  const names = new Set([...required, ...knownClaims.keys()])
  return {
    types: new Set(types.map((type) => (type === null ? null : (mediaTypeOf(type) ?? null)))),
    checks: [
      ...[...names].map((name) => checkOf(name, required.includes(name))),
      ...Object.entries(profile?.claimValues ?? {}).map(valueCheck),
    ],
    foreignClaims: profile ? claimsOfOtherTokens : [],
  }
}

function checkOf(name: string, isRequired: boolean): ClaimCheck {
  const [isValid, description] = knownClaims.get(name) ?? [isPresent, 'present']
  if (isRequired) return { name, expected: `must be ${description}`, isValid }
  return {
    name,
    expected: `must be ${description}, or missing`,
    isValid: (value) => value === undefined || isValid(value),
  }
}

const isPresent: Predicate = (value) => value !== undefined && value !== null

function valueCheck([name, accepted]: readonly [string, string | readonly string[]]): ClaimCheck {
  const values = [accepted].flat()
  const listed = values.map((value) => JSON.stringify(value)).join(' or ')
  return {
    name,
    expected: `must be ${listed}`,
    isValid: (value) => typeof value === 'string' && values.includes(value),
  }
}

const profileMembers = ['tokenTypes', 'requiredClaims', 'claimValues']

/** Finds the problems of a profile. JavaScript applications may pass a value of any shape. */
export function* profileProblems(profile: unknown, audience: unknown): Iterable<FieldProblem> {
  if (profile === undefined) return
  if (!isJsonObject(profile)) {
    yield { pointer: '', detail: 'it must be { tokenTypes, requiredClaims, claimValues }' }
    return
  }
  const { tokenTypes, requiredClaims, claimValues } = profile
  for (const name of Object.keys(profile)) {
    if (!profileMembers.includes(name)) {
      yield { pointer: `/${name}`, detail: 'there is no such option' }
    }
  }
  const hasTypes = Array.isArray(tokenTypes) && tokenTypes.length > 0 && tokenTypes.every(isType)
  if (!hasTypes) {
    yield { pointer: '/tokenTypes', detail: 'it must be an array of media types or null' }
  }
  if (!Array.isArray(requiredClaims) || !requiredClaims.every(isName)) {
    yield { pointer: '/requiredClaims', detail: 'it must be an array of names, which may be empty' }
  }
  if (claimValues !== undefined && !areClaimValues(claimValues)) {
    yield { pointer: '/claimValues', detail: 'it must name claims, each with a value or several' }
  }
  const isExplicit = audience !== null || claimValues !== undefined
  if (hasTypes && !isExplicit && tokenTypes.some((type) => mediaTypeOf(type) !== accessTokenType)) {
    const detail = 'without an audience, claimValues must tell access tokens from other tokens'
    yield { pointer: '/claimValues', detail }
  }
}

function isType(value: unknown): boolean {
  return value === null || (isName(value) && /^[\w.+/-]{1,64}$/.test(value))
}

function areClaimValues(value: unknown): boolean {
  if (!isJsonObject(value) || Object.keys(value).length === 0) return false
  return Object.values(value).every((accepted) => {
    const values = [accepted].flat()
    return values.length > 0 && values.every(isName)
  })
}
