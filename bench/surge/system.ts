import type { Answer, Headers, HttpCall } from '../harness/http.ts'
import type { Server } from '../harness/processes.ts'
import type { Bench } from '../harness/scenario.ts'

/** A system of the surge: a shop (examples/shop) with one way to sign in and stay signed in. */
export interface System {
  /** The key in the result. */
  readonly name: string
  readonly title: string
  /** Starts what the processes need, with all users in it. */
  prepare(ctx: SystemContext): Promise<SystemParts>
}

export type Kind = 'issuer' | 'verifier' | 'shop'

export interface SurgeOptions {
  readonly isQuick: boolean
  /** Signed in before the surge begins. */
  readonly users: number
  /** How many processes there are of each kind. */
  readonly replicas: Readonly<Record<Kind, number>>
  readonly accessTtl_s: number
  /** The share of the answers to refreshes that never reach the client. */
  readonly lostRefreshes: number
}

export interface SystemContext {
  readonly options: SurgeOptions
  readonly bench: Bench
  /** Where clients reach the system, and where its own processes reach the issuers. */
  readonly url: string
  readonly innerUrl: string
  /** Redis by its sentinels. Each database is one of its own. */
  redisUrl(database: number): string
}

export interface SystemParts {
  readonly scheme: ClientScheme
  /** How to start a process of each kind that the system has, in the order in which they start. */
  readonly start: Partial<Record<Kind, (name: string) => Promise<Server>>>
  /** How the proxy chooses a shop. */
  readonly balance: 'in turn' | 'by token' | 'sticky'
  /** Left out where there are no keys to rotate. */
  rotateKeys?(): Promise<string>
}

/** A request of a client. client.ts says when it is repeated. */
export interface Call extends HttpCall {
  /** How likely its answer is to get lost on the way. */
  readonly lossShare?: number
}

/** Sends a call, with the client's retries; never rejects. */
export type Ask = (call: Call) => Promise<Answer>

/** The state of a signed-in client. */
export interface Session {
  /** Go with every request to the shop. */
  readonly headers: Headers
  /** How long those headers are good for; null when as long as the session. */
  readonly life_ms: number | null
  /** State that only the scheme understands, such as a refresh token. */
  readonly secret: string
}

/** How clients sign in and stay signed in. Each call gives the answer where it got no session. */
export interface ClientScheme {
  login(ask: Ask, userName: string): Promise<Session | Answer>
  /**
   * The session after this one. Left out where nothing is ever renewed.
   * @param key one for each attempt, kept over its repetitions
   */
  refresh?(ask: Ask, session: Session, key: string): Promise<Session | Answer>
  logout(ask: Ask, session: Session): Promise<Answer>
  /** Ends all sessions of the user; left out where that can't be asked for. */
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

/** The session of an answer with tokens. @param secretOf has what only the scheme understands */
export function tokenSession(
  answer: Answer,
  secretOf: (body: { readonly refresh_token?: string }) => string | undefined,
): Session | Answer {
  if (answer.status !== 200) return answer
  const body = answer.body as { access_token: string; expires_in: number; refresh_token?: string }
  const headers = { authorization: `Bearer ${body.access_token}` }
  return { headers, life_ms: body.expires_in * 1000, secret: secretOf(body) ?? '' }
}

/** The cookies that an answer sets. */
export function cookiesOf({ headers }: Answer): string[] {
  return (headers['set-cookie'] ?? []).map((line) => line.split(';')[0] ?? '')
}
