import type { Answer, Headers, HttpCall } from '../harness/http.ts'
import type { Server } from '../harness/processes.ts'
import type { Bench } from '../harness/scenario.ts'

/** A system of the surge: a shop (examples/shop) with one way to sign in and stay signed in. */
export interface System {
  readonly name: string
  readonly title: string
  /** Starts the stores of the system and creates all users. */
  prepare(ctx: SystemContext): Promise<SystemParts>
}

export type Kind = 'issuer' | 'verifier' | 'shop'

export interface SurgeOptions {
  readonly isQuick: boolean
  readonly users: number
  readonly replicas: Readonly<Record<Kind, number>>
  readonly accessTtl_s: number
  /** Share of the responses to refreshes that the clients never see. */
  readonly lossShare: number
}

export interface SystemContext {
  readonly options: SurgeOptions
  readonly bench: Bench
  /** Public URL of the system, and internal URL of the issuers. */
  readonly url: string
  readonly innerUrl: string
  /** Redis through its sentinels. Each database is separate. */
  redisUrl(database: number): string
}

export interface SystemParts {
  readonly scheme: ClientScheme
  /** Starts a replica of a kind. The replicas start in this order. */
  readonly start: Partial<Record<Kind, (name: string) => Promise<Server>>>
  /** The rule by which the proxy chooses a shop. */
  readonly balance: 'in turn' | 'by token' | 'sticky'
  /** Absent if the system has no keys to rotate. */
  rotateKeys?(): Promise<string>
  /** Replaces the fail-over of Redis, for sessions in another store. Returns null if nothing can fail. */
  failOver?(): Promise<string | null>
}

/** A request of a client. client.ts defines the retries. */
export interface Call extends HttpCall {
  /** Probability that its response gets lost. */
  readonly lossShare?: number
}

/** Sends a call with the retries of the client. Never rejects. */
export type Ask = (call: Call) => Promise<Answer>

export interface Session {
  readonly headers: Headers
  /** Lifetime of the headers; null if they never change during a session. */
  readonly lifetimeMs: number | null
  /** State that only the scheme understands, such as a refresh token. */
  readonly secret: string
}

/** How clients sign in and stay signed in. A call that gets no session returns the response. */
export interface ClientScheme {
  login(ask: Ask, userName: string): Promise<Session | Answer>
  /**
   * Refreshes the session. Absent if the system refreshes nothing.
   * @param key an idempotency key, which retries repeat
   */
  refresh?(ask: Ask, session: Session, key: string): Promise<Session | Answer>
  logout(ask: Ask, session: Session): Promise<Answer>
  /** Ends all sessions of the user. Absent if the system cannot do it. */
  signOutEverywhere?(ask: Ask, session: Session): Promise<Answer>
}

export function isSession(result: Session | Answer): result is Session {
  return 'secret' in result
}

export function isGood({ status }: Answer): boolean {
  return status >= 200 && status < 300
}

export function post(path: string, headers: Headers = {}, body?: unknown): Call {
  return { method: 'POST', path, headers, body }
}

/** Reads a response with tokens. @param cookie contains the refresh token, if the body does not */
export function tokenSession(answer: Answer, cookie?: string): Session | Answer {
  if (answer.status !== 200) return answer
  const body = answer.body as { access_token: string; expires_in: number; refresh_token?: string }
  const headers = { authorization: `Bearer ${body.access_token}` }
  return { headers, lifetimeMs: body.expires_in * 1000, secret: cookie ?? body.refresh_token ?? '' }
}

export function cookiesOf({ headers }: Answer): string[] {
  return (headers['set-cookie'] ?? []).map((line) => line.split(';')[0] ?? '')
}
