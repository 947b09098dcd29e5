import { DpopProver, loadKeyPair } from './dpop.ts'
import { AuthClientError, IssuerCalls, readBody } from './issuer-calls.ts'
import type { Platform } from './platform.ts'
import { TabSession } from './tab-session.ts'
import type {
  AuthClient,
  AuthClientOptions,
  AuthState,
  Credentials,
  DeviceSession,
  KeyPair,
  User,
} from './types.ts'

/** A refused token younger than this is not refreshed: the next token would be refused, too. */
const minRefreshAgeMs = 1_000

/** Implements `AuthClient` on a platform. */
export class Client implements AuthClient {
  readonly #issuer: string
  readonly #clientId: string | undefined
  readonly #origins: readonly string[]
  readonly #platform: Platform
  readonly #calls: IssuerCalls
  readonly #session: TabSession

  /** @param calls calls the issuer in another way */
  constructor(options: AuthClientOptions, platform: Platform, calls?: IssuerCalls) {
    const { origins = [], clientId, dpop } = options
    const issuer = options.issuer.replace(/\/+$/, '')
    const name = `gatepass ${issuer}`
    const keys = async () => (dpop === true ? loadKeyPair(issuer) : (dpop as KeyPair))
    this.#issuer = issuer
    this.#clientId = clientId
    this.#origins = [issuer, ...origins].map((url) => new URL(url).origin)
    this.#platform = platform
    this.#calls = calls ?? new IssuerCalls(issuer, platform, dpop ? new DpopProver(keys) : null)
    this.#session = new TabSession(name, platform, this.#calls)
  }

  get state(): AuthState {
    return this.#session.state
  }

  async login({ username, password, scope }: Credentials): Promise<void> {
    const fields = { username, password, scope, client_id: this.#clientId }
    await this.#session.signIn({
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(fields),
    })
  }

  logout(): Promise<void> {
    return this.#session.signOut()
  }

  async logoutEverywhere(): Promise<void> {
    await this.#call('/logout/all', 'POST')
    return this.logout()
  }

  // Bound functions, which can be passed to a library.
  readonly fetch = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const request = new Request(input, init)
    if (!this.#origins.includes(new URL(request.url).origin)) return this.#platform.fetch(request)
    const { signal } = request
    // An aborted request does not wait for a refresh, which other requests still need.
    const aborted = new Promise<never>((_resolve, reject) => {
      signal.onabort = () => reject(signal.reason)
    })
    signal.throwIfAborted()
    try {
      const token = await Promise.race([aborted, this.#session.current()])
      if (!token) return await this.#platform.fetch(request)
      const response = await this.#calls.send(request.clone(), token.response)
      if (response.status !== 401 || token.ageMs < minRefreshAgeMs) return response
      const next = await Promise.race([aborted, this.#session.refresh(token)])
      if (!next || next === token) return response
      // Nobody reads the body, so nobody needs to know that it broke off.
      response.body?.cancel().catch(() => {})
      return await this.#calls.send(request, next.response)
    } finally {
      // A signal that outlives the request would keep it in memory.
      signal.onabort = null
    }
  }

  readonly getAccessToken = async (): Promise<string | null> => {
    return (await this.#session.current())?.response.access_token ?? null
  }

  user(): Promise<User | null> {
    return this.#call('/me') as Promise<User | null>
  }

  async sessions(): Promise<readonly DeviceSession[]> {
    const answer = (await this.#call('/sessions')) as { sessions: DeviceSession[] } | null
    return answer?.sessions ?? []
  }

  async endSession(sessionId: string): Promise<void> {
    const own = this.state as { readonly sessionId?: string }
    if (sessionId === own.sessionId) return this.logout()
    await this.#call(`/sessions/${encodeURIComponent(sessionId)}`, 'DELETE')
  }

  readonly onChange = (listener: (state: AuthState) => void): (() => void) => {
    const { listeners } = this.#session
    listeners.add(listener)
    return () => listeners.delete(listener)
  }

  close(): void {
    this.#session.close()
  }

  /** Calls the issuer with the access token. @returns the body; null without a session or body */
  async #call(path: string, method = 'GET'): Promise<unknown> {
    // Rejects with the error of IndexedDB, which below would count as an outage.
    if (!(await this.#session.current())) return null
    try {
      const response = await this.fetch(this.#issuer + path, { method })
      if (this.state.status === 'signed-out') return null
      return await readBody(response)
    } catch (error) {
      throw error instanceof AuthClientError ? error : new AuthClientError()
    }
  }
}
