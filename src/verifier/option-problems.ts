import type { FieldProblem } from '../core/errors.ts'
import type { CommonOptions, IssuerOptions } from './options.ts'
import { revocationProblems } from './revocations/options.ts'
import { isRequestScoped } from './runtime.ts'
import { cacheBytesRange } from './token-cache.ts'
import { isWebAddress } from './web-address.ts'

/** What a program in plain JavaScript passes may be anything. */
type Given = Readonly<Record<string, unknown>>

export type NumberLimits = Readonly<Record<string, { readonly min: number; readonly max: number }>>

/** The options of a kind: those with a rule of their own, numbers, and objects of functions. */
interface Kind {
  readonly plain: readonly string[]
  readonly numbers: NumberLimits
  /** The functions that each must have. */
  readonly methods: Readonly<Record<string, readonly string[]>>
}

/** More issuers than anybody trusts are a mistake; each may cost a signature a token. */
const issuersMax = 32

const issuerPlain = [
  'issuer',
  'audience',
  'jwks',
  'jwksUri',
  'jwksFile',
  'revocations',
] satisfies (keyof IssuerOptions)[]

/** The rules of the last two are those of decryption.ts. */
const commonPlain = ['cache', 'decryptionKeys', 'encryptedTokens'] satisfies (keyof CommonOptions)[]

const issuerMethods = {
  keys: ['find', 'ready', 'refresh', 'refreshNow', 'status', 'close'],
} satisfies { [name in keyof IssuerOptions]?: string[] }

const commonMethods = { clock: ['nowMs'] } satisfies { [name in keyof CommonOptions]?: string[] }

/** Everything that is wrong with the options of a verifier, but for the keys in `jwks`. */
export function findOptionProblems(
  options: unknown,
  numbers: { readonly common: NumberLimits; readonly issuer: NumberLimits },
): FieldProblem[] {
  if (!isRecord(options)) return [{ pointer: '', detail: 'the options must be an object' }]
  const ofIssuer: Kind = { plain: issuerPlain, numbers: numbers.issuer, methods: issuerMethods }
  const common: Kind = { plain: commonPlain, numbers: numbers.common, methods: commonMethods }
  if (!Object.hasOwn(options, 'issuers')) {
    const kind: Kind = {
      plain: [...common.plain, ...issuerPlain],
      numbers: { ...common.numbers, ...ofIssuer.numbers },
      methods: { ...common.methods, ...ofIssuer.methods },
    }
    return [
      ...generalProblems(options, kind),
      ...issuerProblems(options),
      ...cacheProblems(options),
    ]
  }
  return [
    ...cacheProblems(options),
    ...generalProblems(options, { ...common, plain: [...common.plain, 'issuers'] }),
    ...issuersProblems(options.issuers, ofIssuer),
  ]
}

function* cacheProblems({ cache }: Given): Iterable<FieldProblem> {
  if (cache === undefined || cache === false) return
  if (!isRecord(cache) || Object.keys(cache).join() !== 'maxBytes') {
    yield problem('cache', 'it must be false or { maxBytes }')
    return
  }
  for (const { pointer, detail } of numbersOutOfRange(cache, { maxBytes: cacheBytesRange })) {
    yield problem(`cache${pointer}`, detail)
  }
}

function* issuersProblems(issuers: unknown, kind: Kind): Iterable<FieldProblem> {
  if (!Array.isArray(issuers) || issuers.length === 0 || issuers.length > issuersMax) {
    yield problem('issuers', `it must be an array of 1 to ${issuersMax} issuers`)
    return
  }
  const names = new Set<unknown>()
  const files = new Set<unknown>()
  for (const [at, given] of issuers.entries()) {
    if (!isRecord(given)) {
      yield problem(`issuers/${at}`, 'it must be an object')
      continue
    }
    for (const { pointer, detail } of [...generalProblems(given, kind), ...issuerProblems(given)]) {
      yield problem(`issuers/${at}${pointer}`, detail)
    }
    if (names.has(given.issuer)) yield problem(`issuers/${at}/issuer`, 'it is there already')
    names.add(given.issuer)
    const { jwksFile } = given
    if (isName(jwksFile) && files.has(jwksFile)) {
      yield problem(`issuers/${at}/jwksFile`, 'it keeps the keys of another issuer')
    }
    files.add(jwksFile)
  }
}

function* generalProblems(given: Given, kind: Kind): Iterable<FieldProblem> {
  yield* unknownNames(given, kind)
  yield* numbersOutOfRange(given, kind.numbers)
  yield* missingMethods(given, kind.methods)
}

function* issuerProblems(given: Given): Iterable<FieldProblem> {
  yield* issuerAndAudience(given)
  yield* addressOfKeys(given)
  yield* revocationProblems(given)
}

/** A misspelt option would leave a check out. */
function* unknownNames(given: Given, { plain, numbers, methods }: Kind): Iterable<FieldProblem> {
  const known = new Set([...plain, ...Object.keys(numbers), ...Object.keys(methods)])
  for (const name of Object.keys(given)) {
    if (!known.has(name)) yield problem(name, 'there is no such option')
  }
}

function* issuerAndAudience({ issuer, audience }: Given): Iterable<FieldProblem> {
  if (!isName(issuer)) yield problem('issuer', 'it must be a text that is not empty')
  const isAudience =
    audience === null ||
    isName(audience) ||
    (Array.isArray(audience) && audience.length > 0 && audience.every(isName))
  if (!isAudience) {
    yield problem('audience', 'it must be a name, an array of names, or null to accept any')
  }
}

function* addressOfKeys(given: Given): Iterable<FieldProblem> {
  const { issuer, jwks, jwksUri, jwksFile, keys } = given
  const sources = [jwks, jwksUri, keys].filter((source) => source !== undefined)
  if (sources.length > 1) yield problem('keys', 'only one of jwks, jwksUri and keys can be given')
  if (jwksUri !== undefined && !isWebAddress(jwksUri)) {
    yield problem('jwksUri', 'it must be an http or https address')
  }
  if (jwksFile !== undefined && !isName(jwksFile)) yield problem('jwksFile', 'it must be a path')
  if (jwksFile !== undefined && isRequestScoped()) {
    yield problem('jwksFile', 'there is no file on this runtime that outlives a request')
  }
  if (jwksFile !== undefined && (jwks !== undefined || keys !== undefined)) {
    yield problem('jwksFile', 'it keeps keys that are fetched, and these are given')
  }
  if (sources.length > 0 || !isName(issuer)) return
  if (!isWebAddress(issuer) || issuer.includes('?') || issuer.includes('#')) {
    yield problem('issuer', 'it must be an http or https address, unless the keys are given')
  }
}

function* numbersOutOfRange(given: Given, numbers: NumberLimits): Iterable<FieldProblem> {
  for (const [name, { min, max }] of Object.entries(numbers)) {
    const value = given[name]
    if (value === undefined) continue
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
      yield problem(name, `it must be a whole number from ${min} to ${max}`)
    }
  }
}

function* missingMethods(given: Given, methods: Kind['methods']): Iterable<FieldProblem> {
  for (const [name, required] of Object.entries(methods)) {
    const value = given[name]
    if (value === undefined) continue
    const found = (value ?? {}) as Readonly<Record<string, unknown>>
    if (!required.every((method) => typeof found[method] === 'function')) {
      yield problem(name, `it must have ${required.join(', ')}`)
    }
  }
}

function problem(name: string, detail: string): FieldProblem {
  return { pointer: `/${name}`, detail }
}

function isRecord(value: unknown): value is Given {
  return typeof value === 'object' && value !== null
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}
