import { Client } from './client.ts'
import { base64url, bytes, DpopProver, loadKeyPair } from './dpop.ts'
import { AuthClientError } from './issuer-calls.ts'
import type { Platform } from './platform.ts'
import { RedirectCalls } from './redirect-calls.ts'
import type {
  RedirectAuthClient,
  RedirectOptions,
  Returned,
  SignInRequest,
} from './redirect-types.ts'

/** The parts of a page that a redirect needs. */
export interface RedirectPage {
  readonly location: { readonly href: string; assign(url: string): void } | undefined
  readonly history: {
    readonly state: unknown
    replaceState(state: unknown, unused: string, url: string): void
  }
  readonly sessionStorage: {
    getItem(name: string): string | null
    setItem(name: string, value: string): void
    removeItem(name: string): void
  }
}

/** A sign-in of this tab, in sessionStorage until its code is redeemed. */
interface Pending {
  readonly request: SignInRequest
  readonly state: string
  readonly codeVerifier: string
  readonly nonce: string
  readonly returnTo: string
  /** Whether the sign-in repeats one whose answer was lost. */
  readonly isRepeated: boolean
  /** The code, once it has arrived. A reload redeems it. */
  readonly code?: string
}

/** The parameters of an authorization response (RFC 6749 §4.1.2, RFC 9207). */
const responseNames = ['code', 'state', 'iss', 'error', 'error_description']

/** Implements `RedirectAuthClient` on a platform and a page. */
export class RedirectClient extends Client implements RedirectAuthClient {
  readonly returned: Promise<Returned | null>
  readonly #options: RedirectOptions
  readonly #page: RedirectPage
  readonly #calls: RedirectCalls
  readonly #item: string

  static create(given: RedirectOptions, platform: Platform, page: RedirectPage): RedirectClient {
    const options = { ...given, issuer: given.issuer.replace(/\/+$/, '') }
    const { issuer, clientId } = options
    const own = ofClient(platform, clientId)
    const prover = new DpopProver(() => loadKeyPair(issuer))
    return new RedirectClient(options, own, page, new RedirectCalls(issuer, clientId, own, prover))
  }

  private constructor(
    options: RedirectOptions,
    platform: Platform,
    page: RedirectPage,
    calls: RedirectCalls,
  ) {
    super(options, platform, calls)
    this.#options = options
    this.#page = page
    this.#calls = calls
    this.#item = `gatepass ${options.issuer} ${options.clientId}`
    this.returned = this.#finish()
    // The page may not look at it.
    this.returned.catch(() => {})
  }

  override login(request: SignInRequest = {}): Promise<never> {
    return this.#start(request, request.returnTo ?? this.#page.location?.href ?? '', false)
  }

  /** Leaves the page for the sign-in page of the issuer. */
  async #start(request: SignInRequest, returnTo: string, isRepeated: boolean): Promise<never> {
    const { issuer, clientId, redirectUri, scope } = this.#options
    const [state, codeVerifier, nonce] = [randomText(), randomText(), randomText()]
    const asked = request.scope ?? scope
    const hasIdToken = ` ${asked} `.includes(' openid ')
    const parameters = {
      ...{ response_type: 'code', client_id: clientId, redirect_uri: redirectUri, state },
      code_challenge: await sha256(codeVerifier),
      code_challenge_method: 'S256',
      dpop_jkt: await thumbprint(issuer),
      ...(asked && { scope: asked }),
      ...(hasIdToken && { nonce }),
      ...(request.loginHint && { login_hint: request.loginHint }),
      ...(request.prompt && { prompt: request.prompt }),
    }
    const pending = { request, state, codeVerifier, nonce: hasIdToken ? nonce : '' }
    this.#keep({ ...pending, returnTo, isRepeated })
    this.#page.location?.assign(`${issuer}/oauth/authorize?${new URLSearchParams(parameters)}`)
    return new Promise(() => {})
  }

  /** Redeems the code of the response that has loaded this page. */
  async #finish(): Promise<Returned | null> {
    const pending = this.#takeResponse()
    if (!pending?.code) return null
    const { code, codeVerifier, nonce, request, returnTo, isRepeated } = pending
    const { redirectUri } = this.#options
    this.#calls.redemption = { redirectUri, code, codeVerifier, nonce }
    try {
      // The calls answer it with the tokens for the code.
      await super.login({ username: '', password: '' })
    } catch (error) {
      this.#keep(null)
      const isLost = (error as AuthClientError).code === 'grant_invalid'
      if (isLost && !isRepeated) return this.#start(request, returnTo, true)
      throw error
    }
    this.#keep(null)
    return { returnTo }
  }

  /**
   * Takes the response out of the address of the page.
   *
   * @returns the sign-in with its code; null without a response
   * @throws `authorization_failed` for a refusal, and for a response to another request
   */
  #takeResponse(): Pending | null {
    const { location, history, sessionStorage } = this.#page
    // A server that renders the page has no address.
    if (!location) return null
    const kept = sessionStorage.getItem(this.#item)
    const pending = kept === null ? null : (JSON.parse(kept) as Pending)
    const url = new URL(location.href)
    const [code, state, iss, error, description] = responseNames.map((name) => {
      const value = url.searchParams.get(name)
      url.searchParams.delete(name)
      return value
    })
    url.hash = ''
    const isResponse = state !== null && (code || error) && url.href === this.#redirectUrl
    if (!isResponse) return pending?.code ? pending : null
    history.replaceState(history.state, '', url.href)
    if (pending === null || pending.state !== state)
      throw failed('The response is for another request.')
    this.#keep(null)
    if (iss !== this.#options.issuer) throw failed('The response is of another issuer.')
    if (error) throw failed(`${error}: ${description}`)
    const next = { ...pending, code: code ?? '' }
    this.#keep(next)
    return next
  }

  get #redirectUrl(): string {
    return new URL(this.#options.redirectUri).href
  }

  #keep(pending: Pending | null): void {
    const { sessionStorage } = this.#page
    if (pending) sessionStorage.setItem(this.#item, JSON.stringify(pending))
    else sessionStorage.removeItem(this.#item)
  }
}

/** Two clients on one origin share neither tokens nor locks. */
function ofClient(platform: Platform, clientId: string): Platform {
  const named = (name: string) => `${name} ${clientId}`
  return {
    ...platform,
    item: (name) => platform.item(named(name)),
    channel: (name, receive) => platform.channel(named(name), receive),
    withLock: (name, maxWaitMs, work) => platform.withLock(named(name), maxWaitMs, work),
  }
}

function failed(message: string): AuthClientError {
  return new AuthClientError('authorization_failed', 0, message)
}

/** 256 random bits. */
function randomText(): string {
  return base64url(crypto.getRandomValues(new Uint8Array(32)))
}

async function sha256(text: string): Promise<string> {
  return base64url(await crypto.subtle.digest('SHA-256', bytes(text)))
}

/** RFC 7638 §3. */
async function thumbprint(issuer: string): Promise<string> {
  const { publicKey } = await loadKeyPair(issuer)
  const { crv, kty, x, y } = await crypto.subtle.exportKey('jwk', publicKey)
  return sha256(JSON.stringify({ crv, kty, x, y }))
}
