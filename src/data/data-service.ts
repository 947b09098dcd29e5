import type { Clock } from '../core/clock.ts'
import { GatepassError, isGatepassError } from '../core/errors.ts'
import { type DataOwner, type DataStore, dataOwner } from '../stores/data-store.ts'
import type { AccessTokenClaims } from '../tokens/access-token.ts'
import { FieldCipher, plainValues } from './field-cipher.ts'
import { FieldCache, type FieldsContext, type FieldText, OwnedFields } from './owned-fields.ts'

export type DataScope = DataOwner['scope']

/** How long data is kept. The first two must equal the settings of the issuer. */
export interface DataLifetimes {
  /** Longest lifetime of a session. */
  readonly sessionMaxSeconds: number
  /** Lifetime of an access token. */
  readonly accessTtlSeconds: number
  /** How long the data of a user is kept after the last change. */
  readonly userTtlSeconds: number
}

/** @internal */
export interface DataServiceOptions extends DataLifetimes {
  /** The caller closes the store. */
  readonly store: DataStore
  /** Secrets that encrypt values, newest first. Null stores values without encryption. */
  readonly secrets: readonly [string, ...string[]] | null
  readonly clock: Clock
  /** Receives measurements. */
  readonly observer?: DataObserver
  /** Called for each value that does not decrypt. */
  onUnreadable?(): void
}

/**
 * Session data: derives the owner and the expiry from the verified claims of the caller.
 * @internal
 */
export class DataService {
  readonly #context: FieldsContext
  readonly #lifetimes: DataLifetimes
  /** Cached by claims: a verifier returns the same object for each use of a token. */
  readonly #owners = {
    session: new WeakMap<AccessTokenClaims, DataOwner>(),
    user: new WeakMap<AccessTokenClaims, DataOwner>(),
  }

  constructor(options: DataServiceOptions) {
    const { store, secrets, clock, observer } = options
    this.#lifetimes = options
    this.#context = {
      store: observer === undefined ? store : observedStore(store, observer),
      codec: secrets === null ? plainValues : new FieldCipher(secrets),
      cache: new FieldCache(),
      clock,
      searches: new Map(),
      onUnreadable() {
        observer?.unreadable()
        options.onUnreadable?.()
      },
    }
  }

  /**
   * Returns the fields of the caller's session, or of the caller.
   *
   * @throws `token_claims` if a token without a session asks for session data
   */
  fieldsOf(scope: DataScope, claims: AccessTokenClaims): OwnedFields {
    const owner = this.#ownerOf(scope, claims)
    return this.#fields(owner, scope === 'user' ? this.#userEndMs() : this.#sessionEndMs(claims))
  }

  /** Returns all data of an owner as JSON, for administration. */
  exportAll(owner: DataOwner): Promise<Map<string, FieldText>> {
    return this.#fields(owner, 0).getTexts('all')
  }

  #ownerOf(scope: DataScope, claims: AccessTokenClaims): DataOwner {
    const known = this.#owners[scope].get(claims)
    if (known !== undefined) return known
    const owner = ownerOf(scope, claims)
    this.#owners[scope].set(claims, owner)
    return owner
  }

  /** Rounds and limits the expiry, because stores keep it as an integer. */
  #fields(owner: DataOwner, expiresAtMs: number): OwnedFields {
    const storedMs = Math.min(Math.ceil(expiresAtMs), Number.MAX_SAFE_INTEGER)
    return new OwnedFields(this.#context, owner, storedMs)
  }

  #userEndMs(): number {
    return this.#context.clock.nowMs() + this.#lifetimes.userTtlSeconds * 1000
  }

  /**
   * Returns when the last access token of the session expires. A future `auth_time` counts as now, and
   * data never expires before the token that wrote it.
   */
  #sessionEndMs({ auth_time, iat, exp }: AccessTokenClaims): number {
    const { sessionMaxSeconds, accessTtlSeconds } = this.#lifetimes
    const begunMs = Math.min((auth_time ?? iat) * 1000, this.#context.clock.nowMs())
    return Math.max(begunMs + (sessionMaxSeconds + accessTtlSeconds) * 1000, exp * 1000)
  }
}

function ownerOf(scope: DataScope, { iss, sub, sid, client_id }: AccessTokenClaims): DataOwner {
  // A user base may have a user whose id is that of a client.
  const isService = sid === undefined && sub === client_id
  if (scope === 'user') return dataOwner(scope, iss, ...(isService ? ['client', sub] : [sub]))
  // An empty sid names no session, and another user may have it too.
  if (sid) return dataOwner(scope, iss, sid)
  throw new GatepassError('token_claims', { detail: 'Session data needs the claim sid.' })
}

/** The outcome of a call. `unavailable`: the store did not answer. `failed`: a fault of the service. */
export type DataOutcome = 'ok' | 'conflict' | 'full' | 'ended' | 'absent' | 'unavailable' | 'failed'

export type DataOperation = 'read' | 'write' | 'remove' | 'touch' | 'end'

/** Receives measurements of session data. They name no owner and no field. */
export interface DataObserver {
  /** A call to the store. */
  operation(operation: DataOperation, outcome: DataOutcome, durationSeconds: number): void
  /** Fields that were read. A miss is a named field that is absent. */
  fieldsRead(hits: number, misses: number): void
  /** A value did not decrypt. */
  unreadable(): void
}

/**
 * Wraps a store and reports each call to an observer.
 * @internal
 */
export function observedStore(store: DataStore, observer: DataObserver): DataStore {
  async function report<T>(
    operation: DataOperation,
    call: () => Promise<T>,
    outcomeOf: (result: T) => DataOutcome = () => 'ok',
  ): Promise<T> {
    const startedAtMs = performance.now()
    const done = (outcome: DataOutcome) =>
      observer.operation(operation, outcome, (performance.now() - startedAtMs) / 1000)
    try {
      const result = await call()
      done(outcomeOf(result))
      return result
    } catch (error) {
      done(isGatepassError(error, 'store_unavailable') ? 'unavailable' : 'failed')
      throw error
    }
  }

  return {
    async read(owner, fields, nowMs) {
      const found = await report('read', () => store.read(owner, fields, nowMs))
      const asked = fields === 'all' ? found.size : new Set(fields).size
      observer.fieldsRead(found.size, asked - found.size)
      return found
    },
    write: (write) =>
      report(
        'write',
        () => store.write(write),
        (outcome) => (outcome === 'written' ? 'ok' : outcome),
      ),
    remove: (removal) =>
      report(
        'remove',
        () => store.remove(removal),
        (outcome) => (outcome === 'removed' ? 'ok' : outcome),
      ),
    touch: (...args) => report('touch', () => store.touch(...args)),
    end: (...args) => report('end', () => store.end(...args)),
    removeExpired: (...args) => store.removeExpired(...args),
    close: () => store.close(),
  }
}
