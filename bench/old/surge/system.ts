import type { Bench } from '../harness/scenario.ts'
import type { SurgeOptions } from './result.ts'
import type { ActionName } from './script.ts'

/**
 * What goes through the surge: the shop with one way to sign in and stay signed in. The shop is the
 * same HTTP everywhere, only that differs:
 *
 * | call | |
 * | --- | --- |
 * | `GET /products` | public: `{ products: [{ id, … }] }` |
 * | `GET /cart` | `{ items: [{ product, quantity }] }` |
 * | `POST /cart/items` `{ product, quantity }` | adds; with an `Idempotency-Key` where the system has that |
 * | `DELETE /cart/items/:product` | takes it out |
 * | `POST /checkout` | with an `Idempotency-Key`: the cart becomes an order and is empty |
 * | `GET /orders`, `GET /preferences`, `PUT /preferences` | |
 *
 * Each answer of a replica names it in `X-Replica`.
 */
export interface System {
  /** A short name: the key in the result. */
  readonly name: string
  readonly title: string
  /** Starts everything, with all users in it. What it starts is ended by `ctx.bench.defer`, or by `stop`. */
  start(ctx: SurgeContext): Promise<RunningSystem>
}

export interface SurgeContext {
  readonly options: SurgeOptions
  readonly users: readonly User[]
  /** The password hash of all of them: a PHC string of Argon2id of the cost in `options`. */
  readonly passwordHash: string
  /**
   * The cores, an empty folder of this system, and what ends with it. Servers and the proxy run on the
   * core `server`, databases on the core `load`, as startDaemon has it.
   */
  readonly bench: Bench
  tell(line: string): void
}

export interface User {
  readonly name: string
  readonly password: string
}

export interface RunningSystem {
  /** Where the load goes: the proxy in front. */
  readonly url: string
  readonly scheme: ClientScheme
  /** What runs, and how it was set up, for the report. */
  readonly setUp: readonly string[]
  /**
   * Addresses of a guarded GET, one at each replica that is up now and checks who calls, asked directly.
   * A sign-out has bitten when each of them refuses.
   */
  guards(): readonly string[]
  /**
   * Does something to it. Resolves when it has been done, not when it has been got over; so it may not
   * wait for a replica to be ready for traffic any longer than the replica takes to start.
   * @returns what was done, for the time line; null where there is nothing of the kind
   */
  act(action: ActionName): Promise<string | null>
  stop(): Promise<void>
}

/** A request of a client. The retries are the client's, see client/patience.ts. */
export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Below `url`. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as JSON. */
  readonly body?: unknown
  /**
   * Whether it can be sent again when nobody knows if it was carried out: it is safe, idempotent, or
   * carries an Idempotency-Key that the server minds.
   */
  readonly isRepeatable: boolean
  /** The load sets it: that its answer gets lost on the way, with this probability. */
  readonly lossShare?: number
}

export interface Answer {
  /** 0 when there was none. */
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** Parsed, where it is JSON. */
  readonly body: unknown
}

/** Sends a call, with the client's retries; never rejects. */
export type Ask = (call: Call) => Promise<Answer>

/** What a client holds while it is signed in. */
export interface Session {
  /** Go with every request to the shop. */
  readonly headers: Readonly<Record<string, string>>
  /** How long those headers are good for; null when as long as the session. */
  readonly life_ms: number | null
  /** What only the scheme understands, such as a refresh token. */
  readonly secret: string
}

/**
 * How clients of a system sign in and stay signed in. Each call gives the answer of the server where it
 * is not what was hoped for; the load counts it.
 */
export interface ClientScheme {
  login(ask: Ask, user: User): Promise<Session | Answer>
  /**
   * The next session after this one. Left out where nothing is ever renewed.
   * @param key one for each attempt to renew, kept over its repetitions
   */
  refresh?(ask: Ask, session: Session, key: string): Promise<Session | Answer>
  /** Ends this session. */
  logout(ask: Ask, session: Session): Promise<Answer>
  /** Ends all of the user's; left out where that can't be asked for. */
  signOutEverywhere?(ask: Ask, session: Session): Promise<Answer>
}

export function isSession(result: Session | Answer): result is Session {
  return 'secret' in result
}
