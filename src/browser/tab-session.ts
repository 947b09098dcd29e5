import { AccessToken, type SharedToken, type TokenResponse } from './access-token.ts'
import { randomKey } from './dpop.ts'
import type { AuthClientError, IssuerCalls } from './issuer-calls.ts'
import type { Channel, Item, Platform } from './platform.ts'
import type { AuthState } from './types.ts'

/** Longest wait for a tab that refreshes. */
const maxLockWaitMs = 5_000
/** Pause after a failed refresh in the background. A request that needs a token does not wait for it. */
const backgroundPauseMs = 5_000

/** A message between the tabs of a session. */
interface Message {
  readonly token?: SharedToken
  /** The id of a session that has ended; empty if unknown. */
  readonly ended?: string
}

const ignore = () => {}
const signedOut: AuthState = Object.freeze({ status: 'signed-out' })

/**
 * The session that all tabs of an origin share, as one tab sees it. One tab refreshes at a time and sends
 * the token to the other tabs. If that fails, several tabs refresh and the issuer returns the same token
 * to each of them.
 */
export class TabSession {
  state: AuthState = Object.freeze({ status: 'unknown' })
  readonly listeners = new Set<(state: AuthState) => void>()
  readonly #name: string
  readonly #platform: Platform
  readonly #calls: IssuerCalls
  readonly #attempt: RefreshAttempt
  readonly #channel: Channel
  readonly #stopWaking: () => void
  /** Ends the last pause. */
  #endPause: () => void = ignore
  #token: AccessToken | null = null
  #refreshing: Promise<AccessToken | null> | null = null
  /** Answers the calls that wait for a refresh. */
  #answer: (token: AccessToken | null) => void = ignore
  /** Increases with each sign-out. A result from an earlier epoch is dropped. */
  #epoch = 0
  /** The monotonic time before which no refresh starts in the background. */
  #backgroundFromMs = 0
  /** The session that ended last. Late messages of that session are ignored. */
  #endedSession: string | undefined

  /** @param name names the lock, the channel and the stored item of the session */
  constructor(name: string, platform: Platform, calls: IssuerCalls) {
    this.#name = name
    this.#platform = platform
    this.#calls = calls
    this.#attempt = new RefreshAttempt(platform.item(name))
    this.#channel = platform.channel(name, (message) => this.#receive(message as Message))
    this.#stopWaking = platform.onWake((wasAway) => {
      this.#wake(wasAway).catch(ignore)
    })
  }

  /** Returns a token that can be sent; null without a session. */
  async current(): Promise<AccessToken | null> {
    const token = this.#token
    // Signed out, a refresh in progress is that of a page that the browser has restored.
    if (!token?.isValid) return this.state === signedOut ? this.#refreshing : this.refresh(token)
    // The caller does not wait for this refresh and does not fail with it.
    if (token.isDue && this.#platform.monotonicMs() >= this.#backgroundFromMs) {
      this.refresh(token).catch(ignore)
    }
    return token
  }

  /** Replaces a token; concurrent calls share one request. @returns null if the session has ended */
  async refresh(stale: AccessToken | null): Promise<AccessToken | null> {
    if (this.#token !== stale) return this.#token
    this.#refreshing ??= Promise.race([
      this.#locked(() => this.#refresh(stale)),
      // The turn of this tab may come seconds after another tab has shared its result.
      new Promise<AccessToken | null>((resolve) => {
        this.#answer = resolve
      }),
    ]).finally(() => {
      this.#refreshing = null
    })
    return this.#refreshing
  }

  /** Signs in under the lock: the cookie of a concurrent refresh must not replace the new cookie. */
  signIn(login: RequestInit): Promise<void> {
    return this.#locked(async () => {
      if (this.#attempt.isSigningOut) await this.#calls.post('/logout', {}).catch(ignore)
      const token = await this.#request('/login', login)
      this.#attempt.clear()
      this.#adopt(token)
    })
  }

  /**
   * Signs out locally at once, then at the issuer. Rejects if the issuer could not be notified yet.
   */
  async signOut(): Promise<void> {
    const token = this.#token
    this.#attempt.signOut()
    this.#end(token?.response.session_id ?? '')
    await this.#locked(() => this.#notifyIssuer(token))
  }

  close(): void {
    this.#channel.close()
    this.#stopWaking()
    this.listeners.clear()
  }

  async #refresh(stale: AccessToken | null): Promise<AccessToken | null> {
    const epoch = this.#epoch
    const attempt = this.#attempt
    const session = stale?.response.session_id
    // A sign-in or sign-out happened, or another tab shared its token.
    const isObsolete = () => epoch !== this.#epoch || this.#token !== stale || attempt.isSigningOut
    let sent = ''
    const call = async () => {
      sent = attempt.next()
      const [key = ''] = sent.split('.')
      const token = await this.#request('/refresh', { headers: { 'idempotency-key': key } })
      attempt.finish(sent)
      return token
    }
    try {
      const next = await this.#calls.retry(call, isObsolete, (ms) => this.#pause(ms))
      if (next && !isObsolete()) this.#adopt(next)
    } catch (error) {
      if (!isObsolete()) {
        if (!isSessionOver(error)) {
          this.#backgroundFromMs = this.#platform.monotonicMs() + backgroundPauseMs
          throw error
        }
        attempt.finish(sent)
        this.#end(session)
      }
    }
    if (attempt.isSigningOut) {
      this.#forget(session)
      await this.#notifyIssuer().catch(ignore)
    }
    return this.#token
  }

  #locked<T>(work: () => Promise<T>): Promise<T> {
    return this.#platform.withLock(this.#name, maxLockWaitMs, work)
  }

  /**
   * Ends the session at the issuer, unless a sign-in happens before. Called under the lock: a late response
   * must not delete the cookie of the next sign-in.
   */
  async #notifyIssuer(token?: AccessToken | null): Promise<void> {
    const attempt = this.#attempt
    try {
      await this.#calls.retry(
        () => this.#calls.post('/logout', {}, token?.response),
        () => !attempt.isSigningOut,
        (ms) => this.#pause(ms),
      )
    } catch (error) {
      if (!isSessionOver(error)) throw error
    }
    attempt.finish()
  }

  async #request(path: string, init: RequestInit): Promise<AccessToken> {
    // The token is younger than the request. Only the wall clock counts the time of a sleep.
    const wallMs = this.#platform.wallMs()
    const response = (await this.#calls.post(path, init)) as TokenResponse
    return new AccessToken({ response, ageMs: 0, wallMs }, this.#platform)
  }

  #adopt(token: AccessToken): void {
    this.#take(token)
    this.#channel.post({ token: token.share() } satisfies Message)
  }

  #take(token: AccessToken): void {
    this.#token = token
    this.#answer(token)
    const { session_id: sessionId, scope } = token.response
    const { expiresAtMs: accessTokenExpiresAtMs } = token
    this.#change(Object.freeze({ status: 'signed-in', sessionId, scope, accessTokenExpiresAtMs }))
  }

  /** @param session the session to end in the other tabs; undefined if they notice by themselves */
  #end(session: string | undefined): void {
    this.#forget(session)
    if (session !== undefined) this.#channel.post({ ended: session } satisfies Message)
  }

  #forget(session: string | undefined): void {
    this.#epoch++
    this.#endedSession = session
    this.#token = null
    this.#refreshing = null
    if (this.state !== signedOut) this.#change(signedOut)
  }

  #receive({ token, ended }: Message): void {
    const current = this.#token
    const session = current?.response.session_id
    if (token) {
      const { session_id } = token.response
      if (session_id === this.#endedSession || this.#attempt.isSigningOut) return
      const shared = new AccessToken(token, this.#platform)
      if (session_id !== session || shared.ageMs < (current as AccessToken).ageMs)
        this.#take(shared)
    } else if (!ended || ended === session || this.#attempt.isSigningOut) {
      this.#forget(session ?? ended)
      this.#answer(null)
    } else {
      this.#endedSession = ended
    }
  }

  #change(state: AuthState): void {
    this.state = state
    // An error in a listener must not affect the session.
    for (const listener of this.listeners) queueMicrotask(() => listener(this.state))
  }

  #pause(ms: number): Promise<unknown> {
    return new Promise<void>((resolve) => {
      this.#endPause = resolve
      this.#platform.pause(ms).then(resolve)
    })
  }

  /** @param wasAway whether the tab may have missed messages of other tabs */
  async #wake(wasAway: boolean): Promise<void> {
    this.#endPause()
    if (this.#attempt.isSigningOut) return this.#locked(() => this.#notifyIssuer())
    // A refresh in progress may have been answered while the tab was away.
    await this.#refreshing?.catch(ignore)
    if (wasAway || this.#token?.isDue) await this.refresh(this.#token)
  }
}

/**
 * Whether the issuer says that this browser has no session, or cannot continue it. The body matters: a
 * server in front of the issuer may answer 401, too, and a verifier there with `token_missing`.
 */
function isSessionOver(error: unknown): boolean {
  const { code = '' } = error as Partial<AuthClientError>
  // `client_unknown`, `client_authentication_failed`, `grant_not_allowed`: the client was removed from the
  // settings of the issuer, or may not refresh. Not `token_too_large`.
  return /^(cookie|client_[ua]|grant_n|refresh|dpop|token_[^mt])/.test(code)
}

/** The value after a sign-out that the issuer may not have received. Otherwise the value is a key. */
const signedOutMark = 'leaving'

/**
 * The `Idempotency-Key` of the refresh in progress, stored until the response arrives. With the
 * key, every tab, and the page after a reload, gets the same tokens. Stored as `<key>.<number of
 * requests>`, because a slow tab must not delete a key that another tab has used since.
 */
class RefreshAttempt {
  readonly #item: Item

  constructor(item: Item) {
    this.#item = item
  }

  /** Whether the user has signed out and the issuer may not know. */
  get isSigningOut(): boolean {
    return this.#item.get() === signedOutMark
  }

  /** Counts a request, with a new key for a new refresh. @returns the stored value: `<key>.<number>` */
  next(): string {
    const [key = randomKey(), count = 0] = this.#item.get()?.split('.') ?? []
    const sent = `${key}.${Number(count) + 1}`
    this.#item.set(sent)
    return sent
  }

  /** Deletes the value after a response, unless another tab has changed it. */
  finish(stored: string = signedOutMark): void {
    if (this.#item.get() === stored) this.#item.set(null)
  }

  signOut(): void {
    this.#item.set(signedOutMark)
  }

  /** Deletes the value of an earlier session after a sign-in. */
  clear(): void {
    this.#item.set(null)
  }
}
