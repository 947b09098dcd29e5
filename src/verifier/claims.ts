import { type FieldProblem, GatepassError } from '../core/errors.ts'
import { escapePointer, type JsonObject, type JsonValue } from '../core/json.ts'
import { LruCache } from '../core/lru-cache.ts'
import {
  type AccessTokenClaims,
  accessTokenType,
  mediaTypeOf,
  type SignedAccessToken,
} from '../tokens/access-token.ts'
import { isJsonObject, isNumericDate, parseStrictJson } from '../tokens/strict-decoding.ts'
import { isThumbprint } from '../tokens/verification-key.ts'

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
 * @throws `token_type` or `token_claims` if it is not an access token of the issuer, or is for another
 *   audience
 * @internal
 */
export function readClaims(
  { header: { type }, payload }: Pick<SignedAccessToken, 'header' | 'payload'>,
  rules: ClaimRules,
): AccessTokenClaims | null {
  const { issuer, audiences, format } = rules
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
  // Every object inherits members such as `constructor`, which are no claims.
  const claim = (name: string) => (Object.hasOwn(claims, name) ? claims[name] : undefined)
  const problems = format.checks.filter(({ name, isValid }) => !isValid(claim(name)))
  if (problems.length > 0) throw invalidClaims(problems)
  const accepted = claims as Writable<AccessTokenClaims & JsonObject>
  checkAudience(accepted, audiences)
  shareValues(accepted, rules)
  return deepFreeze(accepted)
}

type Writable<T> = { -readonly [Name in keyof T]: T[Name] }

/** Replaces values that many tokens repeat, so that cached tokens take less memory. */
function shareValues(
  claims: Writable<AccessTokenClaims>,
  { issuer, audiences, format: { scopes, methods } }: ClaimRules,
): void {
  const { aud, scope, amr } = claims
  claims.iss = issuer
  const audience = audiences?.find((one) => one === aud)
  if (audience !== undefined) claims.aud = audience
  if (scope !== undefined) claims.scope = scopes.getOrAdd(scope, () => scope)
  if (amr?.length === 1) claims.amr = methods.getOrAdd(String(amr[0]), () => amr)
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
  // Negated, because every comparison with NaN, the time of a broken clock, is false.
  if (!(now_s < exp + clockToleranceSeconds)) throw new GatepassError('token_expired')
  if (Math.max(iat, nbf) > now_s + clockToleranceSeconds) {
    throw new GatepassError('token_not_yet_valid')
  }
}

/** Tells whether `aud` contains an accepted audience (RFC 7519 §4.1.3). */
function isFor(aud: AccessTokenClaims['aud'] | undefined, accepted: readonly string[]): boolean {
  if (typeof aud === 'string') return accepted.includes(aud)
  return aud?.some((one) => accepted.includes(one)) ?? false
}

/** Many requests share cached claims: no request may change them for the others. */
function deepFreeze<T extends JsonValue>(value: T): T {
  const children: readonly JsonValue[] = Array.isArray(value)
    ? value
    : Object.values(value as object)
  for (const child of children) {
    if (typeof child === 'object' && child !== null) deepFreeze(child)
  }
  return Object.freeze(value)
}

/** Describes what each claim must be, and quotes nothing of the token. */
function invalidClaims(claims: readonly Pick<ClaimCheck, 'name' | 'expected'>[]): GatepassError {
  const problems = claims.map(
    ({ name, expected }): FieldProblem => ({
      pointer: `/${escapePointer(name)}`,
      detail: expected,
    }),
  )
  return new GatepassError('token_claims', { problems })
}

function oneOf(texts: readonly string[]): string {
  return texts.map((text) => JSON.stringify(text)).join(' or ')
}

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
  /** Values of `scope`, and of an `amr` with one method, of earlier tokens. */
  readonly scopes: LruCache<string>
  readonly methods: LruCache<readonly string[]>
}

type Predicate = ClaimCheck['isValid']

const isText: Predicate = (value) => typeof value === 'string'
const isTexts: Predicate = (value) => Array.isArray(value) && value.every(isText)
const isAudience: Predicate = (value) =>
  isText(value) || (Array.isArray(value) && value.length > 0 && value.every(isText))
/** A token that is bound in an unknown way must not pass for a bearer token (RFC 7800 §3.1). */
const isKeyThumbprint: Predicate = (value) =>
  isJsonObject(value) && Object.keys(value).length === 1 && isThumbprint(value.jkt)

/** Tells whether a value is a string that is not empty. */
export function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

/** Tells whether a value is a name, or a list of names that is not empty. */
export function isNameOrNames(value: unknown): boolean {
  const names = [value].flat()
  return names.length > 0 && names.every(isName)
}

type KnownClaim = readonly [isValid: Predicate, description: string]

const nameClaim: KnownClaim = [isName, 'a string that is not empty']
const timeClaim: KnownClaim = [isNumericDate, 'whole seconds since 1970']
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

/** Most values of a claim that cached tokens share. */
const maxSharedValues = 64

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
    scopes: new LruCache(maxSharedValues),
    methods: new LruCache(maxSharedValues),
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
  return {
    name,
    expected: `must be ${oneOf(values)}`,
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
  if (!isJsonObject(value)) return false
  const accepted = Object.values(value)
  return accepted.length > 0 && accepted.every(isNameOrNames)
}
