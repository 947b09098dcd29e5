import type { TokenResponse } from './access-token.ts'
import type { DpopProver } from './dpop.ts'
import { AuthClientError, IssuerCalls } from './issuer-calls.ts'
import { done, openStore, type Platform } from './platform.ts'
import type { AuthErrorCode } from './types.ts'

/** A code that the issuer has sent to this page, and the values of the request for it. */
export interface Redemption {
  readonly redirectUri: string
  readonly code: string
  readonly codeVerifier: string
  /** Empty without an ID token. */
  readonly nonce: string
}

type OAuthTokenResponse = TokenResponse & {
  readonly refresh_token?: string
  readonly id_token?: string
}

/**
 * Calls the OAuth endpoints instead of `/login`, `/refresh` and `/logout`. It sends no cookies: the
 * refresh token is in IndexedDB, and works only with the key of this browser (RFC 9449 §5).
 */
export class RedirectCalls extends IssuerCalls {
  /** The code that a call of `/login` redeems. */
  redemption: Redemption | null = null
  readonly #issuer: string
  readonly #clientId: string
  readonly #platform: Platform
  #redeeming: Promise<unknown> | null = null

  constructor(issuer: string, clientId: string, platform: Platform, prover: DpopProver | null) {
    const urls = ['/oauth/token', '/oauth/revoke'].map((path) => new URL(issuer + path).href)
    // The responses of all other servers and endpoints reach the page unchanged.
    const fetch = async (request: Request) => {
      const response = await platform.fetch(request)
      return urls.includes(request.url) ? translateRefusal(response) : response
    }
    super(issuer, { ...platform, fetch }, prover)
    this.#issuer = issuer
    this.#clientId = clientId
    this.#platform = platform
  }

  override async post(path: string, init: RequestInit, token?: TokenResponse): Promise<unknown> {
    if (path === '/login') {
      const redeeming = this.#redeem(this.redemption as Redemption)
      this.#redeeming = redeeming.catch(() => {})
      return redeeming
    }
    if (path === '/refresh') return this.#refresh(init.headers)
    if (path === '/logout') return this.#revoke(token)
    return super.post(path, init, token)
  }

  /**
   * RFC 6749 §4.1.3. After a lost answer, a repeated request is refused and ends the session, which
   * no client has received.
   *
   * @throws `grant_invalid`; `authorization_failed` for the ID token of another request
   */
  async #redeem({ redirectUri, code, codeVerifier, nonce }: Redemption): Promise<TokenResponse> {
    const fields = {
      grant_type: 'authorization_code',
      code,
      code_verifier: codeVerifier,
      redirect_uri: redirectUri,
    }
    const response = (await this.retry(
      () => this.#send('/oauth/token', fields),
      () => false,
      (ms) => this.#platform.pause(ms),
    )) as OAuthTokenResponse
    const { refresh_token: next } = response
    try {
      if (nonce && !this.#isExpected(response.id_token, nonce)) {
        throw new AuthClientError('authorization_failed', 0, 'The ID token is for another request.')
      }
      const before = await this.#change(() => next)
      if (before) this.#send('/oauth/revoke', { token: before }).catch(() => {})
    } catch (error) {
      // Nobody keeps this session.
      if (next) await this.#send('/oauth/revoke', { token: next }).catch(() => {})
      throw error
    }
    return response
  }

  /** RFC 6749 §6. Only the answer to the stored token replaces it: a slow tab may be late. */
  async #refresh(headers: RequestInit['headers']): Promise<TokenResponse> {
    await this.#redeeming
    const token = await this.#change((stored) => stored)
    if (!token) throw new AuthClientError('refresh_token_missing', 401)
    const replace = (next?: string) => this.#change((stored) => (stored === token ? next : stored))
    const fields = { grant_type: 'refresh_token', refresh_token: token }
    try {
      const response = (await this.#send('/oauth/token', fields, headers)) as OAuthTokenResponse
      await replace(response.refresh_token)
      return response
    } catch (error) {
      const { code = '' } = error as Partial<AuthClientError>
      // `authorization_failed`: the client was removed from the settings, or may not refresh.
      if (!/^(grant|dpop|auth)/.test(code)) throw error
      await replace()
      throw new AuthClientError('refresh_token_revoked', 401)
    }
  }

  /**
   * RFC 7009. The refresh token stays until the issuer has answered, so that a later attempt has it.
   * Without a refresh token, the access token identifies the session.
   */
  async #revoke(access?: TokenResponse): Promise<null> {
    const refreshToken = await this.#change((stored) => stored)
    const token = refreshToken ?? access?.access_token
    if (token) await this.#send('/oauth/revoke', { token })
    await this.#change((stored) => (stored === refreshToken ? undefined : stored))
    return null
  }

  #send(
    path: string,
    fields: Readonly<Record<string, string>>,
    headers: RequestInit['headers'] = {},
  ): Promise<unknown> {
    const body = new URLSearchParams({ client_id: this.#clientId, ...fields })
    return super.post(path, { body, headers, credentials: 'omit' })
  }

  /**
   * Replaces the stored refresh token in one transaction, and waits until it is on the disk.
   *
   * @returns the previous token
   */
  async #change(
    replace: (stored: string | undefined) => string | undefined,
  ): Promise<string | undefined> {
    const key = `${this.#issuer} ${this.#clientId}`
    const store = await openStore()
    const stored = (await done(store.get(key))) as string | undefined
    const next = replace(stored)
    if (next === stored) return stored
    const { transaction } = store
    await new Promise<void>((resolve, reject) => {
      transaction.oncomplete = resolve
      transaction.onabort = () => reject(new Error('IndexedDB has not stored the session.'))
      if (next === undefined) store.delete(key)
      else store.put(next, key)
    })
    return stored
  }

  /**
   * OpenID Connect Core §3.1.3.7. TLS replaces the other checks, because the token comes from the
   * issuer itself.
   */
  #isExpected(idToken = '', nonce: string): boolean {
    try {
      const [, payload = ''] = idToken.split('.')
      const claims = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/')))
      const { iss, aud } = claims
      return iss === this.#issuer && aud === this.#clientId && claims.nonce === nonce
    } catch {
      return false
    }
  }
}

/** Our codes for the errors of RFC 6749 §5.2 that a client distinguishes. */
const codes: Readonly<Record<string, AuthErrorCode>> = {
  invalid_grant: 'grant_invalid',
  invalid_dpop_proof: 'dpop_proof_invalid',
  use_dpop_nonce: 'use_dpop_nonce',
  temporarily_unavailable: 'overloaded',
  server_error: 'internal_error',
}

/** Converts an error of an OAuth endpoint into the form of all other errors (RFC 9457). */
async function translateRefusal(response: Response): Promise<Response> {
  if (response.ok) return response
  const { status, headers } = response
  const text = await response.text()
  const { error, error_description: title = error } = parse(text)
  if (typeof error !== 'string') return new Response(text, { status, headers })
  const code = codes[error] ?? 'authorization_failed'
  return new Response(JSON.stringify({ code, title }), { status, headers })
}

function parse(text: string): { readonly error?: unknown; readonly error_description?: unknown } {
  try {
    return JSON.parse(text) ?? {}
  } catch {
    return {}
  }
}
