/** The public entry `@gatepass/session-data`. */
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'
import { core } from 'zod'
import { type Clock, systemClock } from '../core/clock.ts'
import { type FieldProblem, GatepassError, isGatepassError } from '../core/errors.ts'
import { isPlainObject } from '../core/json.ts'
import type { DataStore } from '../stores/data-store.ts'
import { openResilientDataStore } from '../stores/open-data-store.ts'
// For request.auth.
import type {} from '../verifier/fastify.ts'
import { markPlugin } from '../verifier/fastify-plugin.ts'
import {
  type DataLifetimes,
  type DataObserver,
  type DataScope,
  DataService,
} from './data-service.ts'
import { checkFieldName } from './owned-fields.ts'
import { type FieldSchemas, type SharedState, TypedFields } from './typed-fields.ts'
import { Updates } from './updates.ts'

export type { Clock } from '../core/clock.ts'
export {
  anyVersion,
  type DataOwner,
  type DataRemoval,
  type DataStore,
  type DataWrite,
  type Expected,
  type RemovalOutcome,
  type StoredField,
  type WriteOutcome,
} from '../stores/data-store.ts'
export type { DataObserver, DataOperation, DataOutcome } from './data-service.ts'
export type { FieldSchemas, Stored, TypedFields, Written } from './typed-fields.ts'

/** The fields of sessions and users, by scope. */
export interface DataSchemas {
  readonly session?: FieldSchemas
  readonly user?: FieldSchemas
}

/**
 * Declares the types of `request.data`, once per application:
 *
 * ```ts
 * declare module '@gatepass/session-data' {
 *   interface DataTypes {
 *     fields: typeof fields
 *   }
 * }
 * ```
 *
 * The plugin then accepts exactly these fields.
 */
// biome-ignore lint/suspicious/noEmptyInterface: applications extend it
export interface DataTypes {}

type AppSchemas = DataTypes extends { readonly fields: infer F extends DataSchemas }
  ? F
  : DataSchemas

type SchemasOf<F extends DataSchemas, S extends DataScope> = S extends keyof F
  ? NonNullable<F[S]> extends infer Fields extends FieldSchemas
    ? Fields
    : never
  : Record<never, never>

/** The data that a request may read and write. */
export interface RequestData<F extends DataSchemas = AppSchemas> {
  /** Data of the caller's session; deleted when the session ends. */
  readonly session: TypedFields<SchemasOf<F, 'session'>>
  /** Data of the caller on every device; outlives the session. */
  readonly user: TypedFields<SchemasOf<F, 'user'>>
}

declare module 'fastify' {
  interface FastifyRequest {
    /** The data of the caller. Using it without a signed-in caller throws `token_missing`. */
    data: RequestData
  }
}

/**
 * The lifetimes default to those of the service: 90 days for a session, 300 s for an access token, and
 * 400 days for the data of a user.
 */
export interface GatepassDataOptions extends Partial<DataLifetimes> {
  /** URL of a store, such as `rediss://…`, or an open store, which the plugin does not close. */
  readonly store: string | DataStore
  /**
   * Secrets that encrypt values, newest first, each of at least 32 characters. White space around a
   * secret is ignored. Null stores values without encryption: readers of the store can read them, and
   * writers can change them unnoticed.
   */
  readonly secrets: readonly string[] | null
  /** The schema of each field. */
  readonly fields: AppSchemas
  /** Timeout of a call to a store that is given as a URL, 10 to 60,000 ms. Default: 250. */
  readonly deadlineMs?: number
  /** Replicas of a Redis, given as a URL, that must confirm a change, 0 to 16. Default: 0. */
  readonly replicas?: number
  /** Receives measurements. */
  readonly observer?: DataObserver
  /** Source of the time. Default: the system clock. */
  readonly clock?: Clock
}

/** Limits warnings about values that do not decrypt: after a lost secret no value does. */
const minWarningIntervalMs = 60_000

/**
 * Decorates guarded requests with the caller's session data as `request.data`.
 *
 * ```ts
 * import { readFile } from 'node:fs/promises'
 * import Fastify from 'fastify'
 * import { gatepassData } from '@gatepass/session-data'
 * import { gatepassAuth } from '@gatepass/verifier/fastify'
 * import { z } from 'zod'
 *
 * const app = Fastify()
 * await app.register(gatepassAuth, {
 *   issuer: 'https://auth.example.com',
 *   audience: 'https://api.example.com',
 * })
 * await app.register(gatepassData, {
 *   store: 'rediss://redis.example.com',
 *   secrets: [await readFile('data-secret', 'utf8')],
 *   fields: { session: { cart: z.array(z.string()).default([]) } },
 * })
 * app.get('/cart', (request) => request.data.session.get('cart'))
 * ```
 *
 * An unavailable store does not prevent the start of the application.
 */
export const gatepassData = markPlugin<GatepassDataOptions>(
  async (app, options) => {
    checkOptions(options)
    const schemas = checkSchemas(options.fields)
    const clock = checkClock(options.clock ?? systemClock)
    const secrets = checkSecrets(options.secrets)
    const numbers = checkNumbers(options)
    const store = await openStore(app, options.store, { ...numbers, clock })
    const onUnreadable = warnOfUnreadable(app.log)
    const data = new DataService({
      ...numbers,
      store,
      secrets,
      clock,
      onUnreadable,
      ...(options.observer && { observer: options.observer }),
    })
    const shared = { updates: new Updates(), decoded: new WeakMap() }
    const source = { data, schemas, shared, given: options.fields }
    app.decorateRequest('data', {
      getter() {
        return new CallerData(source, this as unknown as FastifyRequest)
      },
    })
    app.addHook('onError', async (_request, reply, error) => {
      if (isGatepassError(error) && error.retryAfterSeconds !== undefined) {
        reply.header('retry-after', String(error.retryAfterSeconds))
      }
    })
  },
  { name: 'gatepass-data', dependencies: ['gatepass-auth'] },
)

/** The state that all `request.data` objects share. */
interface DataSource {
  readonly data: DataService
  readonly schemas: { readonly [S in DataScope]: SchemasOf<AppSchemas, S> }
  readonly shared: SharedState
  /** The option `fields`, for a comparison by identity. */
  readonly given: DataSchemas
}

/** The value of `request.data`. It holds no state of its own. */
class CallerData implements RequestData {
  readonly #source: DataSource
  readonly #request: FastifyRequest

  constructor(source: DataSource, request: FastifyRequest) {
    this.#source = source
    this.#request = request
  }

  get session() {
    return this.#fields('session')
  }

  get user() {
    return this.#fields('user')
  }

  static isMadeOf(data: object, fields: DataSchemas): boolean {
    return data instanceof CallerData && data.#source.given === fields
  }

  #fields<S extends DataScope>(scope: S) {
    const { data, schemas, shared } = this.#source
    const open = () => {
      const { auth } = this.#request
      if (auth === null) throw new GatepassError('token_missing')
      return data.fieldsOf(scope, auth)
    }
    return new TypedFields(schemas[scope], open, shared)
  }
}

/**
 * Returns `request.data` with the types of given fields, for programs with several applications and
 * for plugins with their own data, where `DataTypes` cannot declare the types.
 *
 * @param fields the object that was passed to the plugin
 * @throws `config_invalid` if it is another object
 */
export function dataOf<F extends DataSchemas>(request: FastifyRequest, fields: F): RequestData<F> {
  const data: object | undefined = request.data
  if (data !== undefined && CallerData.isMadeOf(data, fields)) return data as RequestData<F>
  throw invalid('gatepassData was not registered here with these fields.')
}

const scopes: ReadonlySet<string> = new Set(['session', 'user'] satisfies DataScope[])

/** @throws `config_invalid` for an invalid name, or a value that is no schema of Zod 4 */
function checkSchemas(fields: DataSchemas) {
  if (!isPlainObject(fields) || !Object.values(fields).every(isSchemaList)) {
    throw invalid('The option fields must be { session, user }, each with schemas by field.')
  }
  checkNames('scope', fields, scopes)
  const { session = {}, user = {} }: DataSchemas = fields
  for (const [field, schema] of [...Object.entries(session), ...Object.entries(user)]) {
    try {
      checkFieldName(field)
    } catch (cause) {
      throw new GatepassError('config_invalid', { detail: (cause as Error).message, cause })
    }
    if (schema instanceof core.$ZodType) continue
    throw invalid(`The field ${field} needs a schema of Zod 4.`)
  }
  return { session, user } as {
    readonly session: SchemasOf<AppSchemas, 'session'>
    readonly user: SchemasOf<AppSchemas, 'user'>
  }
}

function isSchemaList(value: unknown): boolean {
  return value === undefined || isPlainObject(value)
}

/** The methods that the plugin calls: it does not close a store of the application. */
const storeMethods = ['read', 'write', 'remove', 'touch'] satisfies (keyof DataStore)[]

/** Returns the given store, or opens one that is closed with the application. */
async function openStore(
  app: FastifyInstance,
  given: string | DataStore,
  options: { readonly deadlineMs: number; readonly replicas: number; readonly clock: Clock },
): Promise<DataStore> {
  if (typeof given !== 'string') {
    if (hasMethods(given, storeMethods)) return given
    throw invalid(
      `The option store must be the URL of a store, or an open store with ${storeMethods.join(', ')}.`,
    )
  }
  const warn = (error: unknown) => app.log.warn(error)
  const store = await openResilientDataStore(given, '.', {
    ...options,
    onUnavailable: warn,
    onCleanupError: warn,
  })
  app.addHook('onClose', () => store.close())
  return store
}

/** Creates a function that logs a warning, at most once per minute. */
function warnOfUnreadable(log: FastifyBaseLogger): () => void {
  let warnedAtMs = Number.NEGATIVE_INFINITY
  return () => {
    const nowMs = performance.now()
    if (nowMs - warnedAtMs < minWarningIntervalMs) return
    warnedAtMs = nowMs
    log.warn('session data does not decrypt: it was changed, or its secret is unknown')
  }
}

const daySeconds = 86_400
const maxSeconds = 100 * 365 * daySeconds

/** The options that are whole numbers. */
const numberOptions = {
  sessionMaxSeconds: { byDefault: 90 * daySeconds, min: 1, max: maxSeconds },
  accessTtlSeconds: { byDefault: 300, min: 1, max: maxSeconds },
  userTtlSeconds: { byDefault: 400 * daySeconds, min: 1, max: maxSeconds },
  deadlineMs: { byDefault: 250, min: 10, max: 60_000 },
  replicas: { byDefault: 0, min: 0, max: 16 },
}

/** The options of a store that the plugin opens. */
const storeNumbers: readonly NumberName[] = ['deadlineMs', 'replicas']

type NumberName = keyof typeof numberOptions
type Numbers = { readonly [Name in NumberName]: number }

/**
 * Returns the numbers of the options, with defaults for those that are undefined.
 *
 * @throws `config_invalid` with every problem
 */
function checkNumbers(given: { readonly [Name in NumberName]?: unknown }): Numbers {
  const problems: FieldProblem[] = []
  const entries = Object.entries(numberOptions).map(([name, { byDefault, min, max }]) => {
    const { [name as NumberName]: value = byDefault } = given
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
  ...Object.keys(numberOptions),
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
function checkOptions(options: object): void {
  checkNames('option', options, optionNames)
  const given = new Map<string, unknown>(Object.entries(options))
  const unused = storeNumbers.find((name) => given.get(name) !== undefined)
  if (unused !== undefined && hasMethods(given.get('store'), ['read'])) {
    throw invalid(`The option ${unused} has no effect on an open store. Set it where you open it.`)
  }
  for (const [name, required] of Object.entries(methods)) {
    const value = given.get(name)
    if (value === undefined || hasMethods(value, required)) continue
    throw invalid(`The option ${name} must have ${required.join(', ')}.`)
  }
}

/** @throws `config_invalid` if a clock returns no time, which a store could only refuse */
function checkClock(clock: Clock): Clock {
  if (Number.isFinite(clock.nowMs())) return clock
  throw invalid('The option clock must have nowMs that returns milliseconds.')
}

/** @throws `config_invalid` for a misspelled name, because it must not be ignored */
function checkNames(what: string, given: object, known: ReadonlySet<string>): void {
  const unknown = Object.keys(given).find((name) => !known.has(name))
  if (unknown !== undefined) throw invalid(`There is no ${what} ${unknown}.`)
}

function hasMethods(value: unknown, names: readonly string[]): boolean {
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
function checkSecrets(secrets: readonly string[] | null): readonly [string, ...string[]] | null {
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
