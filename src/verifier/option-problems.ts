import type { FieldProblem } from '../core/errors.ts'
import type { VerifierOptions } from './options.ts'

type OptionName = keyof VerifierOptions

/** What a program in plain JavaScript passes may be anything. */
type Given = { readonly [name in OptionName]?: unknown }

export type NumberLimits = Readonly<Record<string, { readonly min: number; readonly max: number }>>

/** The options that are objects of functions, with the functions that each must have. */
const methods = {
  keys: ['find', 'ready', 'refresh', 'status', 'close'],
  revocations: ['isRevoked'],
  clock: ['nowMs'],
} as const satisfies { readonly [name in OptionName]?: readonly string[] }

/** Everything that is wrong with the options of a verifier, but for the keys in `jwks`. */
export function findOptionProblems(options: unknown, numbers: NumberLimits): FieldProblem[] {
  if (typeof options !== 'object' || options === null) {
    return [{ pointer: '', detail: 'the options must be an object' }]
  }
  const given: Given = options
  return [
    ...unknownNames(given, numbers),
    ...issuerAndAudience(given),
    ...addressOfKeys(given),
    ...numbersOutOfRange(given, numbers),
    ...missingMethods(given),
  ]
}

/** A misspelt option would leave a check out. */
function* unknownNames(given: Given, numbers: NumberLimits): Iterable<FieldProblem> {
  const plain = ['issuer', 'audience', 'jwks', 'jwksUri']
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

function* addressOfKeys({ issuer, jwks, jwksUri, keys }: Given): Iterable<FieldProblem> {
  const sources = [jwks, jwksUri, keys].filter((source) => source !== undefined)
  if (sources.length > 1) yield problem('keys', 'only one of jwks, jwksUri and keys can be given')
  if (jwksUri !== undefined && !isWebAddress(jwksUri)) {
    yield problem('jwksUri', 'it must be an http or https address')
  }
  if (sources.length > 0 || !isName(issuer)) return
  if (!isWebAddress(issuer) || issuer.includes('?') || issuer.includes('#')) {
    yield problem('issuer', 'it must be an http or https address, unless the keys are given')
  }
}

function* numbersOutOfRange(given: Given, numbers: NumberLimits): Iterable<FieldProblem> {
  for (const [name, { min, max }] of Object.entries(numbers)) {
    const value = given[name as OptionName]
    if (value === undefined) continue
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
      yield problem(name, `it must be a whole number from ${min} to ${max}`)
    }
  }
}

function* missingMethods(given: Given): Iterable<FieldProblem> {
  for (const [name, required] of Object.entries(methods)) {
    const value = given[name as OptionName]
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

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

function isWebAddress(value: unknown): boolean {
  const url = typeof value === 'string' ? URL.parse(value) : null
  const isWeb = url?.protocol === 'https:' || url?.protocol === 'http:'
  return isWeb && url?.username === '' && url.password === ''
}
