import type { Clock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import { dataOwner } from '../stores/data-owner.ts'
import type { DataOwner, DataStore } from '../stores/data-store.ts'
import type { AccessTokenClaims } from '../tokens/claims.ts'
import { FieldCipher } from './field-cipher.ts'
import { type DataObserver, observedStore } from './observed-store.ts'
import { type Field, type FieldsContext, OwnedFields } from './owned-fields.ts'

export type DataScope = DataOwner['scope']

/** How long data is kept; the first two as the issuer has them. */
export interface DataLifetimes {
  /** How long a session lasts at most. */
  readonly sessionMax_s: number
  /** How long an access token is valid. */
  readonly accessTtl_s: number
  /** How long the data of a user is kept after its last change. */
  readonly userTtl_s: number
}

export interface DataServiceOptions extends DataLifetimes {
  /** Closed by whoever opened it. */
  readonly store: DataStore
  /** What values are encrypted under, newest first. */
  readonly secrets: readonly [string, ...string[]]
  readonly clock: Clock
  /** Told of what happens, for metrics. */
  readonly observer?: DataObserver
  /** Told of each value that does not decrypt. */
  onUnreadable?(): void
}

/** Session data: whose it is, by the verified claims of who asks, and until when. */
export class DataService {
  readonly #context: FieldsContext
  readonly #lifetimes: DataLifetimes
  /** Owners by the claims that say so, of which a verifier gives the same for each use of a token. */
  readonly #owners = {
    session: new WeakMap<AccessTokenClaims, DataOwner>(),
    user: new WeakMap<AccessTokenClaims, DataOwner>(),
  }

  constructor(options: DataServiceOptions) {
    const { store, secrets, clock, observer } = options
    this.#lifetimes = options
    this.#context = {
      store: observer === undefined ? store : observedStore(store, observer),
      cipher: new FieldCipher(secrets),
      clock,
      onUnreadable() {
        observer?.unreadable()
        options.onUnreadable?.()
      },
    }
  }

  /**
   * The fields of the caller's session, or of the caller.
   *
   * @throws `token_claims` for a token that is of no session
   */
  fieldsOf(scope: DataScope, claims: AccessTokenClaims): OwnedFields {
    const owner = this.#ownerOf(scope, claims)
    return this.#fields(owner, scope === 'user' ? this.#userEndMs() : this.#sessionEndMs(claims))
  }

  /** All that is kept of an owner, for whoever administers it. */
  exported(owner: DataOwner): Promise<Map<string, Field>> {
    return this.#fields(owner, 0).getAll()
  }

  #ownerOf(scope: DataScope, claims: AccessTokenClaims): DataOwner {
    const known = this.#owners[scope].get(claims)
    if (known !== undefined) return known
    const owner = ownerOf(scope, claims)
    this.#owners[scope].set(claims, owner)
    return owner
  }

  #fields(owner: DataOwner, expiresAtMs: number): OwnedFields {
    return new OwnedFields(this.#context, owner, expiresAtMs)
  }

  #userEndMs(): number {
    return this.#context.clock.nowMs() + this.#lifetimes.userTtl_s * 1000
  }

  /**
   * When the last token of the session has expired, however often it is refreshed. A stranger's
   * `auth_time` can't make it later than that of a session that begins now, nor does data go before
   * the token that wrote it.
   */
  #sessionEndMs({ auth_time, iat, exp }: AccessTokenClaims): number {
    const { sessionMax_s, accessTtl_s } = this.#lifetimes
    const begunMs = Math.min((auth_time ?? iat) * 1000, this.#context.clock.nowMs())
    return Math.max(begunMs + (sessionMax_s + accessTtl_s) * 1000, exp * 1000)
  }
}

function ownerOf(scope: DataScope, { iss, sub, sid }: AccessTokenClaims): DataOwner {
  if (scope === 'user') return dataOwner(scope, iss, sub)
  if (sid !== undefined) return dataOwner(scope, iss, sid)
  throw new GatepassError('token_claims', { detail: 'Session data needs the claim sid.' })
}
