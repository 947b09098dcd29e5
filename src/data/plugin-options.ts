import type { Clock } from '../core/clock.ts'
import { type FieldProblem, GatepassError } from '../core/errors.ts'

const daySeconds = 86_400
const maxSeconds = 100 * 365 * daySeconds

/** The options that are whole numbers. */
const numbers = {
  sessionMaxSeconds: { byDefault: 90 * daySeconds, min: 1, max: maxSeconds },
  accessTtlSeconds: { byDefault: 300, min: 1, max: maxSeconds },
  userTtlSeconds: { byDefault: 400 * daySeconds, min: 1, max: maxSeconds },
  deadlineMs: { byDefault: 250, min: 10, max: 60_000 },
  replicas: { byDefault: 0, min: 0, max: 16 },
}

/** The options of a store that the plugin opens. */
const storeNumbers: readonly NumberName[] = ['deadlineMs', 'replicas']

type NumberName = keyof typeof numbers
type Numbers = { readonly [Name in NumberName]: number }

/**
 * Returns the numbers of the options, with defaults for those that are undefined.
 *
 * @throws `config_invalid` with every problem
 */
export function checkNumbers(given: { readonly [Name in NumberName]?: unknown }): Numbers {
  const problems: FieldProblem[] = []
  const entries = Object.entries(numbers).map(([name, { byDefault, min, max }]) => {
    const value = given[name as NumberName] ?? byDefault
    if (!Number.isInteger(value) || Number(value) < min || Number(value) > max) {
      problems.push({
        pointer: `/${name}`,
        detail: `${name} must be a whole number from ${min} to ${max}`,
      })
    }
    return [name, value]
  })
  if (problems.length === 0) return Object.fromEntries(entries)
  const detail = `${problems.map(({ detail }) => detail).join('; ')}.`
  throw new GatepassError('config_invalid', { detail, problems })
}

/** The methods of each option that is an object of the application. */
const methods = {
  clock: ['nowMs'],
  observer: ['operation', 'fieldsRead', 'unreadable'],
}

const optionNames: ReadonlySet<string> = new Set([
  'store',
  'secrets',
  'fields',
  ...Object.keys(numbers),
  ...Object.keys(methods),
  // Fastify passes its own options of `register` to a plugin, too.
  'prefix',
  'logLevel',
  'logSerializers',
])

/**
 * Checks the names of the options, that objects have their methods, and that the store can follow the
 * options of a store.
 *
 * @throws `config_invalid`
 */
export function checkOptions(options: object): void {
  checkNames('option', options, optionNames)
  const given = new Map<string, unknown>(Object.entries(options))
  const unused = storeNumbers.find((name) => given.get(name) !== undefined)
  if (unused !== undefined && hasMethods(given.get('store'), ['read'])) {
    throw invalid(`The option ${unused} has no effect on an open store. Set it where you open it.`)
  }
  for (const [name, required] of Object.entries(methods)) {
    const value = given.get(name) ?? undefined
    if (value === undefined || hasMethods(value, required)) continue
    throw invalid(`The option ${name} must have ${required.join(', ')}.`)
  }
}

/** @throws `config_invalid` if a clock returns no time, which a store could only refuse */
export function checkClock(clock: Clock): Clock {
  if (Number.isFinite(clock.nowMs())) return clock
  throw invalid('The option clock must have nowMs that returns milliseconds.')
}

/** @throws `config_invalid` for a misspelled name, because it must not be ignored */
export function checkNames(what: string, given: object, known: ReadonlySet<string>): void {
  const unknown = Object.keys(given).find((name) => !known.has(name))
  if (unknown !== undefined) throw invalid(`There is no ${what} ${unknown}.`)
}

export function hasMethods(value: unknown, names: readonly string[]): boolean {
  const found = Object(value) as Record<string, unknown>
  return names.every((name) => typeof found[name] === 'function')
}

function invalid(detail: string): GatepassError {
  return new GatepassError('config_invalid', { detail })
}

const minSecretLength = 32

/**
 * Returns the secrets as the service reads them: without white space around them.
 *
 * @throws `config_invalid`
 */
export function checkSecrets(
  secrets: readonly string[] | null,
): readonly [string, ...string[]] | null {
  if (secrets === null) return null
  // A program in JavaScript may pass a missing variable of the environment.
  const given: unknown[] = Array.isArray(secrets) ? secrets : []
  const [first, ...others] = given.map((one) => (typeof one === 'string' ? one.trim() : ''))
  const isSecret = (one: string) => one.length >= minSecretLength && !/[\s,]/.test(one)
  if (first !== undefined && [first, ...others].every(isSecret)) return [first, ...others]
  throw invalid(
    `Session data needs a list of secrets, each of at least ${minSecretLength} characters without white space or comma.`,
  )
}
