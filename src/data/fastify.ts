/** The public entry `gatepass/data`. */
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { type Clock, systemClock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import type { DataStore } from '../stores/data-store.ts'
import { keepDataStore } from '../stores/data-upkeep.ts'
// For request.auth.
import type {} from '../verifier/fastify.ts'
import { type DataLifetimes, type DataScope, DataService } from './data-service.ts'
import { checkFieldName } from './limits.ts'
import type { DataObserver } from './observed-store.ts'
import { type FieldSchemas, TypedFields } from './typed-fields.ts'
import { Updates } from './updates.ts'

export type { DataStore } from '../stores/data-store.ts'
export type { DataObserver } from './observed-store.ts'
export type { FieldSchemas, Stored, TypedFields } from './typed-fields.ts'

/** The fields of sessions and of users, by scope. */
export interface DataSchemas {
  readonly session?: FieldSchemas
  readonly user?: FieldSchemas
}

/**
 * The types of `request.data`, for an application to say, once:
 *
 * ```ts
 * declare module 'gatepass/data' {
 *   interface DataTypes {
 *     fields: typeof fields
 *   }
 * }
 * ```
 *
 * The plugin then takes these fields and no others, so what is said is what is checked.
 */
// biome-ignore lint/suspicious/noEmptyInterface: it is for others to fill
export interface DataTypes {}

type AppSchemas = DataTypes extends { readonly fields: infer F extends DataSchemas }
  ? F
  : DataSchemas

type SchemasOf<F extends DataSchemas, S extends DataScope> = S extends keyof F
  ? NonNullable<F[S]> extends infer Fields extends FieldSchemas
    ? Fields
    : never
  : Record<never, never>

/** What a request may read and write. */
export interface RequestData<F extends DataSchemas = AppSchemas> {
  /** Ends with the session of the caller. */
  readonly session: TypedFields<SchemasOf<F, 'session'>>
  /** The caller's, on every device; outlives the session. */
  readonly user: TypedFields<SchemasOf<F, 'user'>>
}

declare module 'fastify' {
  interface FastifyRequest {
    /** The caller's data. Nobody's, where nobody is signed in: then using it is `token_missing`. */
    data: RequestData
  }
}

export interface GatepassDataOptions extends Partial<DataLifetimes> {
  /** The address of a store, such as `rediss://…`; or one that is open, which stays open. */
  readonly store: string | DataStore
  /** What values are encrypted under, newest first; each has at least 32 characters. */
  readonly secrets: readonly string[]
  readonly fields: AppSchemas
  /** How long a call to the store may take. Default 250. */
  readonly deadlineMs?: number
  /** How many replicas of a Redis must have a change before it is acknowledged. Default 0. */
  readonly replicas?: number
  /** Told of what happens, for metrics. */
  readonly observer?: DataObserver
  readonly clock?: Clock
}

const day_s = 86_400
const defaults = { sessionMax_s: 90 * day_s, accessTtl_s: 300, userTtl_s: 400 * day_s }
const defaultDeadlineMs = 250
const secretLengthMin = 32
/** A value that can't be read is logged this often at most: after a lost secret none can. */
const warningPauseMs = 60_000

/**
 * Gives each request the data of its caller as `request.data`, where `gatepassAuth` guards it.
 *
 * ```ts
 * import { readFile } from 'node:fs/promises'
 * import Fastify from 'fastify'
 * import { gatepassData } from 'gatepass/data'
 * import { gatepassAuth } from 'gatepass/fastify'
 * import { z } from 'zod'
 *
 * const app = Fastify()
 * await app.register(gatepassAuth, { issuer: 'https://auth.example.com', audience: null })
 * await app.register(gatepassData, {
 *   store: 'rediss://redis.example.com',
 *   secrets: [await readFile('data-secret', 'utf8')],
 *   fields: { session: { cart: z.array(z.string()).default([]) } },
 * })
 * app.get('/cart', (request) => request.data.session.get('cart'))
 * ```
 *
 * A store that is away does not keep the application from starting.
 */
export const gatepassData = fastifyPlugin<GatepassDataOptions>(
  async (app, options) => {
    const schemas = checkSchemas(options.fields)
    const clock = options.clock ?? systemClock
    const secrets = checkSecrets(options.secrets)
    const store = await openStore(app, options, clock)
    const onUnreadable = warnOfUnreadable(app.log, clock)
    const data = new DataService({ ...defaults, ...options, store, secrets, clock, onUnreadable })
    const source = { data, schemas, updates: new Updates(), given: options.fields }
    app.decorateRequest('data', {
      getter() {
        return new CallerData(source, this as unknown as FastifyRequest)
      },
    })
    app.addHook('onError', async (_request, reply, error) => {
      const { retryAfter_s } = error as Partial<GatepassError>
      if (error instanceof GatepassError && retryAfter_s !== undefined) {
        reply.header('retry-after', String(retryAfter_s))
      }
    })
  },
  { name: 'gatepass-data', fastify: '5.x', dependencies: ['gatepass-auth'] },
)

/** What `request.data` is made of. */
interface DataSource {
  readonly data: DataService
  readonly schemas: { readonly [S in DataScope]: SchemasOf<AppSchemas, S> }
  readonly updates: Updates
  /** The schemas, as the plugin was given them. */
  readonly given: DataSchemas
}

/** Keeps nothing of its own: one costs less to make each time than to find again. */
class CallerData implements RequestData {
  readonly #source: DataSource
  readonly #request: FastifyRequest

  constructor(source: DataSource, request: FastifyRequest) {
    this.#source = source
    this.#request = request
  }

  get session() {
    const { schemas, updates } = this.#source
    return new TypedFields(schemas.session, this.#opener('session'), updates)
  }

  get user() {
    const { schemas, updates } = this.#source
    return new TypedFields(schemas.user, this.#opener('user'), updates)
  }

  static isMadeOf(data: object, fields: DataSchemas): boolean {
    return data instanceof CallerData && data.#source.given === fields
  }

  #opener(scope: DataScope) {
    return () => {
      const { auth } = this.#request
      if (auth === null) throw new GatepassError('token_missing')
      return this.#source.data.fieldsOf(scope, auth)
    }
  }
}

/**
 * `request.data` with the types of these fields, where `DataTypes` does not say them: in a program of
 * several applications, or in a plugin with data of its own.
 *
 * @param fields the same object that the plugin was given
 * @throws `config_invalid` when it is another one
 */
export function dataOf<F extends DataSchemas>(request: FastifyRequest, fields: F): RequestData<F> {
  const data: object | undefined = request.data
  if (data !== undefined && CallerData.isMadeOf(data, fields)) return data as RequestData<F>
  throw new GatepassError('config_invalid', {
    detail: 'gatepassData was not registered here with these fields.',
  })
}

/** @throws `config_invalid` for the name of a field that no store would take */
function checkSchemas({ session = {}, user = {} }: DataSchemas) {
  for (const field of [...Object.keys(session), ...Object.keys(user)]) {
    try {
      checkFieldName(field)
    } catch (cause) {
      throw new GatepassError('config_invalid', { detail: (cause as Error).message, cause })
    }
  }
  return { session, user } as {
    readonly session: SchemasOf<AppSchemas, 'session'>
    readonly user: SchemasOf<AppSchemas, 'user'>
  }
}

/** @throws `config_invalid` */
function checkSecrets(secrets: readonly string[]): readonly [string, ...string[]] {
  const [first, ...others] = secrets
  if (first !== undefined && secrets.every((one) => one.length >= secretLengthMin)) {
    return [first, ...others]
  }
  throw new GatepassError('config_invalid', {
    detail: `Session data needs secrets of at least ${secretLengthMin} characters.`,
  })
}

/** The store that was passed in; or one of our own, which lives as long as the application. */
async function openStore(
  app: FastifyInstance,
  { store: given, deadlineMs = defaultDeadlineMs, replicas = 0 }: GatepassDataOptions,
  clock: Clock,
): Promise<DataStore> {
  if (typeof given !== 'string') return given
  const warn = (error: unknown) => app.log.warn(error)
  const { store, close } = await keepDataStore(given, {
    cwd: '.',
    deadlineMs,
    replicas,
    clock,
    onAway: warn,
    onSweepError: warn,
  })
  app.addHook('onClose', close)
  return store
}

/** Says in the log that there is something to look into. */
function warnOfUnreadable(log: FastifyBaseLogger, clock: Clock): () => void {
  let warnedAtMs = Number.NEGATIVE_INFINITY
  return () => {
    const nowMs = clock.nowMs()
    if (nowMs - warnedAtMs < warningPauseMs) return
    warnedAtMs = nowMs
    log.warn('session data can not be decrypted: it was changed, or its secret is not known')
  }
}
