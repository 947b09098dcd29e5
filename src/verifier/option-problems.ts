import type { FieldProblem } from '../core/errors.ts'
import { tokenTypes } from '../tokens/access-token.ts'
import { isName, isNameOrNames, profileProblems } from './claims.ts'
import { isWebAddress } from './http-client.ts'
import { readKeySet } from './keys/key-source.ts'
import type { CommonOptions, IssuerOptions, IssuersOptions, RevocationOptions } from './options.ts'

/** Unchecked options: a JavaScript application may pass anything. */
type Unchecked = Readonly<Record<string, unknown>>

interface NumberLimits {
  readonly min: number
  readonly max: number
}

/** Names of the options of one kind, such as the numbers or the objects with methods. */
interface OptionKind {
  readonly others: readonly string[]
  /** The options that are whole numbers. */
  readonly numbers: Readonly<Record<string, NumberLimits>>
  /** The required methods of each object. */
  readonly methods: Readonly<Record<string, readonly string[]>>
  /** Options that belong elsewhere, and a text that says where. */
  readonly elsewhere?: { readonly names: readonly string[]; readonly detail: string }
}

function namesOf({ others, numbers, methods }: OptionKind): string[] {
  return [...others, ...Object.keys(numbers), ...Object.keys(methods)]
}

const issuerOptions: OptionKind = {
  others: [
    'issuer',
    'audience',
    'jwks',
    'jwksUri',
    'jwksFile',
    'profile',
    'revocations',
  ] satisfies (keyof IssuerOptions)[],
  numbers: {
    fetchTimeoutMs: { min: 10, max: 60_000 },
    maxJwksAgeSeconds: { min: 1, max: 30 * 24 * 60 * 60 },
  } satisfies { [name in keyof IssuerOptions]?: NumberLimits },
  methods: {
    keys: ['find', 'ready', 'refresh', 'refreshNow', 'status', 'close'],
  } satisfies { [name in keyof IssuerOptions]?: string[] },
}

const commonOptions: OptionKind = {
  // decryption.ts checks the last two.
  others: [
    'cache',
    'tokenTypes',
    'decryptionKeys',
    'encryptedTokens',
  ] satisfies (keyof CommonOptions)[],
  numbers: {
    clockToleranceSeconds: { min: 0, max: 300 },
    maxTokenBytes: { min: 256, max: 65_536 },
    maxDpopProofAgeSeconds: { min: 5, max: 300 },
    maxDpopProofs: { min: 64, max: 10_000_000 },
  } satisfies { [name in keyof CommonOptions]?: NumberLimits },
  methods: { clock: ['nowMs'], dpopNonces: ['isValid'] } satisfies {
    [name in keyof CommonOptions]?: string[]
  },
}

const revocationOptions: OptionKind = {
  others: ['uri', 'stream'] satisfies (keyof RevocationOptions)[],
  numbers: {
    pollIntervalSeconds: { min: 1, max: 3600 },
    streamTimeoutSeconds: { min: 1, max: 300 },
    maxEntries: { min: 100, max: 5_000_000 },
    // An issuer sends a heartbeat every 5 s, so the list is often older than that.
    maxStalenessSeconds: { min: 10, max: 86_400 },
  } satisfies { [name in keyof RevocationOptions]?: NumberLimits },
  methods: {},
}

/** The default heap of Node has no room for a larger cache. */
const cacheNumbers = { maxBytes: { min: 1024 ** 2, max: 2 * 1024 ** 3 } }

/** The options of a verifier for several issuers. */
const severalOptions: OptionKind = {
  ...commonOptions,
  others: [...commonOptions.others, 'issuers'],
  elsewhere: { names: namesOf(issuerOptions), detail: 'it is an option of each of the issuers' },
}

/** The options of one of several issuers. */
const oneOfSeveralOptions: OptionKind = {
  ...issuerOptions,
  elsewhere: {
    names: namesOf(commonOptions),
    detail: 'it is an option for all issuers, beside issuers',
  },
}

/** Each issuer may cost one signature verification per token. */
const maxIssuers = 32

/** Tells whether options have `issuers`, and so no `issuer`. */
export function areForSeveralIssuers(options: object): options is IssuersOptions {
  return Object.hasOwn(options, 'issuers')
}

/** Finds all problems of the options of a verifier, except those of the decryption keys. */
export function findOptionProblems(options: unknown): FieldProblem[] {
  if (!isRecord(options)) return [{ pointer: '', detail: 'the options must be an object' }]
  const common = [
    ...cacheProblems(options.cache),
    ...tokenTypeProblems(options.tokenTypes),
    ...clockProblems(options.clock),
  ]
  if (!areForSeveralIssuers(options)) {
    const kind: OptionKind = {
      others: [...commonOptions.others, ...issuerOptions.others],
      numbers: { ...commonOptions.numbers, ...issuerOptions.numbers },
      methods: { ...commonOptions.methods, ...issuerOptions.methods },
    }
    return [
      ...kindProblems(options, kind),
      ...issuerProblems(options),
      ...common,
      ...(options.profile !== undefined && options.tokenTypes !== undefined
        ? [problem('tokenTypes', 'it cannot be combined with profile, which has its own')]
        : []),
    ]
  }
  const problems = kindProblems(options, severalOptions)
  return [...common, ...problems, ...issuersProblems(options.issuers)]
}

/** A clock without a time would cause one fetch of the keys after the other. */
function* clockProblems(clock: unknown): Iterable<FieldProblem> {
  if (!isRecord(clock) || typeof clock.nowMs !== 'function') return
  if (!Number.isFinite(clock.nowMs())) yield problem('clock', 'its nowMs must return milliseconds')
}

function* tokenTypeProblems(types: unknown): Iterable<FieldProblem> {
  if (types === undefined) return
  const isFit = Array.isArray(types) && types.length > 0
  if (isFit && types.every((type) => (tokenTypes as readonly unknown[]).includes(type))) return
  yield problem('tokenTypes', `it must be an array of ${tokenTypes.join(' or ')}`)
}

function* cacheProblems(cache: unknown): Iterable<FieldProblem> {
  if (cache === undefined || cache === false) return
  if (!isRecord(cache) || Object.keys(cache).join() !== 'maxBytes') {
    yield problem('cache', 'it must be false or { maxBytes }')
    return
  }
  yield* within('/cache', numberProblems(cache, cacheNumbers))
}

function* issuersProblems(issuers: unknown): Iterable<FieldProblem> {
  if (!Array.isArray(issuers) || issuers.length === 0 || issuers.length > maxIssuers) {
    yield problem('issuers', `it must be an array of 1 to ${maxIssuers} issuers`)
    return
  }
  const names = new Set<unknown>()
  const files = new Set<unknown>()
  for (const [at, given] of issuers.entries()) {
    if (!isRecord(given)) {
      yield problem(`issuers/${at}`, 'it must be an object')
      continue
    }
    const { issuer, jwksFile } = given
    yield* within(`/issuers/${at}`, kindProblems(given, oneOfSeveralOptions))
    yield* within(`/issuers/${at}`, issuerProblems(given))
    if (names.has(issuer)) yield problem(`issuers/${at}/issuer`, 'it is listed twice')
    names.add(issuer)
    if (isName(jwksFile) && files.has(jwksFile)) {
      yield problem(`issuers/${at}/jwksFile`, 'it is the file of another issuer')
    }
    files.add(jwksFile)
  }
}

function* kindProblems(given: Unchecked, kind: OptionKind): Iterable<FieldProblem> {
  const { numbers, methods, elsewhere } = kind
  // A misspelled option could leave out a check.
  const known = new Set(namesOf(kind))
  for (const name of Object.keys(given)) {
    if (known.has(name)) continue
    const place = elsewhere?.names.includes(name) ? elsewhere.detail : null
    yield problem(name, place ?? 'there is no such option')
  }
  yield* numberProblems(given, numbers)
  for (const [name, required] of Object.entries(methods)) {
    const value = given[name]
    if (value === undefined) continue
    const found = (value ?? {}) as Unchecked
    if (!required.every((method) => typeof found[method] === 'function')) {
      yield problem(name, `it must have ${required.join(', ')}`)
    }
  }
}

function* numberProblems(given: Unchecked, numbers: OptionKind['numbers']): Iterable<FieldProblem> {
  for (const [name, { min, max }] of Object.entries(numbers)) {
    const value = given[name]
    if (value === undefined) continue
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
      yield problem(name, `it must be a whole number from ${min} to ${max}`)
    }
  }
}

function* issuerProblems(given: Unchecked): Iterable<FieldProblem> {
  const { issuer, audience } = given
  if (!isName(issuer)) yield problem('issuer', 'it must be a string that is not empty')
  if (audience !== null && !isNameOrNames(audience)) {
    yield problem('audience', 'it must be a name, an array of names, or null to accept any')
  }
  yield* keyProblems(given)
  yield* within('/profile', profileProblems(given.profile, audience))
  yield* within('/revocations', revocationProblems(given))
}

function* keyProblems(given: Unchecked): Iterable<FieldProblem> {
  const { issuer, jwks, jwksUri, jwksFile, keys } = given
  const sources = [jwks, jwksUri, keys].filter((source) => source !== undefined)
  if (sources.length > 1) yield problem('keys', 'only one of jwks, jwksUri and keys can be given')
  if (jwks !== undefined) yield* keySetProblems(jwks)
  if (jwksUri !== undefined && !isWebAddress(jwksUri)) {
    yield problem('jwksUri', 'it must be an http or https address without white space')
  }
  if (jwksFile !== undefined && !isName(jwksFile)) yield problem('jwksFile', 'it must be a path')
  if (jwksFile !== undefined && isRequestScoped()) {
    yield problem('jwksFile', 'this runtime has no files that outlive a request')
  }
  if (jwks !== undefined || keys !== undefined) yield* fetchProblems(given)
  if (sources.length > 0 || !isName(issuer)) return
  if (!isPlainAddress(issuer)) {
    const detail = 'it must be an http or https address without white space, unless keys are given'
    yield problem('issuer', detail)
  }
}

function* keySetProblems(jwks: unknown): Iterable<FieldProblem> {
  try {
    readKeySet(jwks)
  } catch (error) {
    yield problem('jwks', (error as Error).message)
  }
}

/** Finds the options of fetches where nothing is fetched. */
function* fetchProblems(given: Unchecked): Iterable<FieldProblem> {
  const { revocations = false } = given
  const isFeed = revocations === true || (isRecord(revocations) && !('isRevoked' in revocations))
  for (const name of ['jwksFile', 'maxJwksAgeSeconds', ...(isFeed ? [] : ['fetchTimeoutMs'])]) {
    if (given[name] !== undefined) yield problem(name, 'it has no effect with jwks or keys')
  }
}

function* revocationProblems(given: Unchecked): Iterable<FieldProblem> {
  const { revocations, issuer, jwksUri } = given
  if (revocations === undefined || revocations === false) return
  if (revocations !== true && !isRecord(revocations)) {
    yield { pointer: '', detail: 'it must be true, options, or an object that has isRevoked' }
    return
  }
  const options = revocations === true ? {} : revocations
  if (typeof options.isRevoked === 'function') return yield* listProblems(options)
  if (isRequestScoped()) yield { pointer: '', detail: cannotFollow }
  yield* kindProblems(options, revocationOptions)
  const { stream = true, uri = feedAddress(issuer, jwksUri) } = options
  if (typeof stream !== 'boolean') yield problem('stream', 'it must be true or false')
  if (!isPlainAddress(uri)) {
    const detail = 'it must be an http or https address without query, fragment or white space'
    yield problem('uri', detail)
  }
}

/** Finds the problems of a list of the application. */
function* listProblems(list: Unchecked): Iterable<FieldProblem> {
  for (const name of ['stalenessSeconds', 'ready', 'status', 'close']) {
    if (list[name] === undefined || typeof list[name] === 'function') continue
    yield problem(name, 'it must be a function')
  }
  const { maxStalenessSeconds = 0 } = list
  if (typeof maxStalenessSeconds === 'number' && maxStalenessSeconds >= 0) return
  yield problem('maxStalenessSeconds', 'it must be a number of seconds')
}

const jwksPath = '/.well-known/jwks.json'

/** Returns the default address of the keys of an issuer. */
export function jwksAddress(issuer: string): string {
  return withoutSlash(issuer) + jwksPath
}

/**
 * Returns the default address of the feed. It is below the address of the keys, which may differ from
 * `issuer` inside a cluster.
 */
export function feedAddress(issuer: unknown, jwksUri: unknown): string {
  const hasPath = typeof jwksUri === 'string' && jwksUri.endsWith(jwksPath)
  const base = hasPath ? jwksUri.slice(0, -jwksPath.length) : issuer
  return `${isName(base) ? withoutSlash(base) : ''}/revocations`
}

function withoutSlash(address: string): string {
  return address.endsWith('/') ? address.slice(0, -1) : address
}

/** Revoked tokens would be accepted silently. */
const cannotFollow =
  'this runtime (workerd) ends connections and timers with each request, so it cannot follow ' +
  'revocations: leave the option out, or pass a list of your own'

/**
 * Tells whether timers and connections end with the request that created them, as on Cloudflare's
 * workerd: nothing runs between requests, and no request can wait for another.
 */
export function isRequestScoped(): boolean {
  return globalThis.navigator?.userAgent === 'Cloudflare-Workers'
}

function isPlainAddress(value: unknown): boolean {
  return isWebAddress(value) && !value.includes('?') && !value.includes('#')
}

function* within(pointer: string, problems: Iterable<FieldProblem>): Iterable<FieldProblem> {
  for (const one of problems) yield { pointer: pointer + one.pointer, detail: one.detail }
}

function problem(name: string, detail: string): FieldProblem {
  return { pointer: `/${name}`, detail }
}

function isRecord(value: unknown): value is Unchecked {
  return typeof value === 'object' && value !== null
}
