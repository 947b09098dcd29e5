import { Client } from './client.ts'
import { base64url, bytes, DpopProver, loadKeyPair } from './dpop.ts'
import { AuthClientError } from './issuer-calls.ts'
import { browser, type Channel, type Platform } from './platform.ts'
import { RedirectCalls } from './redirect-calls.ts'
import type {
  KeyPair,
  RedirectAuthClient,
  RedirectOptions,
  Returned,
  SignInRequest,
} from './types.ts'

export { AuthClientError } from './issuer-calls.ts'
export type {
  AuthErrorCode,
  AuthState,
  DeviceSession,
  RedirectAuthClient,
  RedirectOptions,
  Returned,
  SignInRequest,
  User,
} from './types.ts'

/**
 * Creates a client of the issuer for a front end on another site. Users sign in on the page of the
 * issuer.
 *
 * ```ts
 * import { createAuthClient } from '@gatepass/browser/redirect'
 *
 * const auth = createAuthClient({
 *   issuer: 'https://auth.example.com',
 *   clientId: 'shop',
 *   redirectUri: 'https://shop.example/',
 * })
 * await auth.returned
 * if ((await auth.getAccessToken()) === null) await auth.login()
 * ```
 */
export function createAuthClient(given: RedirectOptions): RedirectAuthClient {
  const options = { ...given, issuer: given.issuer.replace(/\/+$/, '') }
  const { issuer, clientId } = options
  const platform = ofClient(browser, clientId)
  const prover = new DpopProver(() => loadKeyPair(issuer))
  const calls = new RedirectCalls(issuer, clientId, platform, prover)
  return new RedirectClient(options, platform, calls, prover)
}

/** The parts of a page that a redirect needs. */
interface RedirectPage {
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
  readonly document: { hasFocus(): boolean }
  open(url: string, name: string, features: string): Popup | null
  close(): void
}

const page = globalThis as unknown as RedirectPage

interface Popup {
  readonly closed: boolean
  close(): void
  readonly location: { replace(url: string): void }
}

/** A sign-in that waits for its response. */
interface Pending {
  readonly state: string
  readonly codeVerifier: string
  readonly nonce: string
}

/** A sign-in of this tab, in sessionStorage until its code is redeemed. */
interface KeptPending extends Pending {
  readonly request: SignInRequest
  readonly returnTo: string
  /** Whether the sign-in repeats one whose answer was lost. */
  readonly isRepeated: boolean
  /** The code, once it has arrived. A reload redeems it. */
  readonly code?: string
}

/** The parameters of an authorization response (RFC 6749 §4.1.2, RFC 9207). */
const responseNames = ['code', 'state', 'iss', 'error', 'error_description'] as const
type AuthorizationResponse = Readonly<Record<(typeof responseNames)[number], string | null>>

/** A message between the page and its popup, which have one origin. */
interface PopupMessage {
  readonly response?: AuthorizationResponse
  /** The `state` of a response that the page has received. */
  readonly received?: string
}

/** Begins the `state` of a sign-in in a popup. */
const popupMark = 'popup.'
const closedPollMs = 300
/** How long the popup waits for the page that has opened it. */
const handOverMs = 2_000

/**
 * The codes that this page redeems. A second use of a code would end the session, and a page may create
 * its client twice, as React does in development.
 */
const redeeming = new Map<string, Promise<void>>()

/** Implements `RedirectAuthClient` on this page. */
class RedirectClient extends Client implements RedirectAuthClient {
  readonly returned: Promise<Returned | null>
  readonly #options: RedirectOptions
  readonly #calls: RedirectCalls
  readonly #prover: DpopProver
  readonly #item: string
  readonly #platform: Platform
  readonly #channel: Channel
  #receive: (message: PopupMessage) => void = () => {}

  constructor(
    options: RedirectOptions,
    platform: Platform,
    calls: RedirectCalls,
    prover: DpopProver,
  ) {
    super(options, platform, calls)
    this.#options = options
    this.#calls = calls
    this.#prover = prover
    this.#item = `gatepass ${options.issuer} ${options.clientId}`
    this.#platform = platform
    this.#channel = platform.channel(`popup ${options.issuer}`, (message) =>
      this.#receive(message as PopupMessage),
    )
    this.returned = this.#finish()
    // The page may ignore `returned`.
    this.returned.catch(() => {})
  }

  override async login(request: SignInRequest = {}): Promise<void> {
    if (request.popup) return this.#signInByPopup(request)
    await this.#start(request, request.returnTo ?? page.location?.href ?? '', false)
  }

  override close(): void {
    super.close()
    this.#channel.close()
  }

  /**
   * Leaves the page for the sign-in page of the issuer. Settles if the browser keeps the page and the
   * user comes back to it.
   */
  async #start(request: SignInRequest, returnTo: string, isRepeated: boolean): Promise<null> {
    const { pending, url } = await this.#prepare(request, randomText())
    this.#keep({ ...pending, request, returnTo, isRepeated })
    page.location?.assign(url)
    await new Promise<void>((resolve) => {
      this.#platform.onWake((wasAway) => wasAway && resolve())
    })
    // The user may have signed in on a later page.
    if (await this.getAccessToken()) return null
    throw failed('The user has come back.')
  }

  async #signInByPopup(request: SignInRequest): Promise<void> {
    // No asynchronous step comes first: browsers allow a popup only in the event of a click.
    const popup = page.open('', 'gatepass', 'popup,width=480,height=720')
    if (!popup) throw new AuthClientError('popup_blocked', 0)
    const { pending, url } = await this.#prepare(request, popupMark + randomText()).catch(
      (error: unknown) => {
        popup.close()
        throw error
      },
    )
    const signedIn = new Promise<void>((resolve, reject) => {
      let isWaiting = true
      this.#receive = ({ response }) => {
        if (response?.state !== pending.state) return
        isWaiting = false
        this.#receive = () => {}
        this.#channel.post({ received: pending.state } satisfies PopupMessage)
        const redeem = async () => this.#redeem(pending, this.#codeOf(response))
        redeem().then(resolve, reject)
      }
      const watch = async () => {
        while (isWaiting) {
          await this.#platform.pause(closedPollMs)
          // If the page has a Cross-Origin-Opener-Policy, an open popup appears closed, but has the
          // focus.
          if (isWaiting && popup.closed && page.document.hasFocus()) {
            isWaiting = false
            reject(new AuthClientError('popup_closed', 0))
          }
        }
      }
      watch()
    })
    popup.location.replace(url)
    return signedIn
  }

  /** Prepares an authorization request with PKCE (RFC 7636), bound to the key of this browser. */
  async #prepare(
    { scope: ownScope, loginHint, prompt }: SignInRequest,
    state: string,
  ): Promise<{ readonly pending: Pending; readonly url: string }> {
    const { issuer, clientId, redirectUri, scope: defaultScope } = this.#options
    this.#prover.keyPair = null
    const { publicKey } = await this.#prover.keys()
    const [codeVerifier, nonce] = [randomText(), randomText()]
    const scope = ownScope ?? defaultScope
    const hasIdToken = ` ${scope} `.includes(' openid ')
    const parameters = new URLSearchParams({
      response_type: 'code',
      client_id: clientId,
      redirect_uri: redirectUri,
      state,
      code_challenge: await sha256(codeVerifier),
      code_challenge_method: 'S256',
      dpop_jkt: await thumbprint(publicKey),
      ...(scope && { scope }),
      ...(hasIdToken && { nonce }),
      ...(loginHint && { login_hint: loginHint }),
      ...(prompt && { prompt }),
    })
    const pending = { state, codeVerifier, nonce: hasIdToken ? nonce : '' }
    return { pending, url: `${issuer}/oauth/authorize?${parameters}` }
  }

  /** Finishes the sign-in whose response has loaded this page. */
  async #finish(): Promise<Returned | null> {
    // On a server that renders the page, there is no address.
    if (!page.location) return null
    const response = this.#takeResponse()
    if (response?.state?.startsWith(popupMark)) return this.#handOver(response)
    // Back to the sign-in page, the issuer answers an old request again. It changes nothing for a
    // user who is signed in.
    if (response && response.state !== this.#kept?.state && (await this.getAccessToken()))
      return null
    const pending = response ? this.#accept(response) : this.#kept
    if (!pending?.code) return null
    const { code, request, returnTo, isRepeated } = pending
    try {
      await this.#redeem(pending, code)
    } catch (error) {
      this.#keep(null)
      const isLost = (error as AuthClientError).code === 'grant_invalid'
      if (isLost && !isRepeated) return this.#start(request, returnTo, true)
      throw error
    }
    this.#keep(null)
    return { returnTo }
  }

  /** Takes the response out of the address of the page; null without one. */
  #takeResponse(): AuthorizationResponse | null {
    const { location, history } = page
    const url = new URL(location?.href as string)
    const values = responseNames.map((name) => {
      const value = url.searchParams.get(name)
      url.searchParams.delete(name)
      return [name, value]
    })
    const response = Object.fromEntries(values) as AuthorizationResponse
    url.hash = ''
    const { state, code, error } = response
    if (state === null || !(code || error) || url.href !== this.#redirectUrl) return null
    history.replaceState(history.state, '', url.href)
    return response
  }

  /** @throws `authorization_failed` for a refusal, and for a response to another request */
  #accept(response: AuthorizationResponse): KeptPending {
    const kept = this.#kept
    if (!kept || kept.state !== response.state) throw failed(otherRequest)
    this.#keep(null)
    const pending = { ...kept, code: this.#codeOf(response) }
    this.#keep(pending)
    return pending
  }

  #codeOf({ code, iss, error, error_description }: AuthorizationResponse): string {
    if (iss !== this.#options.issuer) throw failed('The response is of another issuer.')
    if (error) throw failed(`${error}: ${error_description}`)
    return code ?? ''
  }

  async #redeem({ codeVerifier, nonce }: Pending, code: string): Promise<void> {
    const { redirectUri } = this.#options
    let redeemed = redeeming.get(code)
    if (!redeemed) {
      this.#calls.redemption = { redirectUri, code, codeVerifier, nonce }
      // The calls answer it with the tokens for the code.
      redeemed = super.login({ username: '', password: '' })
      redeeming.set(code, redeemed)
    }
    await redeemed
  }

  /** Sends the response in this popup to the page that opened it, and closes the popup. */
  async #handOver(response: AuthorizationResponse): Promise<null> {
    const received = new Promise<boolean>((resolve) => {
      this.#receive = (message) => message.received === response.state && resolve(true)
    })
    this.#channel.post({ response } satisfies PopupMessage)
    const late = this.#platform.pause(handOverMs)
    if (!(await Promise.race([received, late]))) throw failed(otherRequest)
    page.close()
    return null
  }

  get #redirectUrl(): string {
    const url = new URL(this.#options.redirectUri)
    // A deletion encodes the query anew, as in the address of the response.
    url.searchParams.delete('state')
    return url.href
  }

  get #kept(): KeptPending | null {
    return JSON.parse(page.sessionStorage.getItem(this.#item) ?? 'null')
  }

  #keep(pending: KeptPending | null): void {
    const { sessionStorage } = page
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

const otherRequest = 'The response is for another request.'

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
async function thumbprint(publicKey: KeyPair['publicKey']): Promise<string> {
  const { crv, kty, x, y } = await crypto.subtle.exportKey('jwk', publicKey)
  return sha256(JSON.stringify({ crv, kty, x, y }))
}
