import { CompactEncrypt, compactDecrypt } from 'jose'
import { type Clock, nowSeconds } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import { hmac, type Secrets } from '../core/secrets.ts'
import type { Audit } from '../issuer/audit.ts'
import { type Client, isConfidential } from '../issuer/clients.ts'
import type { SessionStore } from '../stores/ports.ts'
import { invalidProof } from '../tokens/dpop-proof.ts'
import type { AuthorizationCodes } from './authorization-codes.ts'
import {
  type AuthorizationRequest,
  limitLength,
  type RefusedRequest,
  type RequestRules,
  readQuery,
  refused,
  validateRequest,
  withParameters,
} from './authorization-request.ts'
import type { Consents } from './consents.ts'
import { type Form, malformed, refuseRepeated } from './form.ts'
import type { IdTokens } from './id-tokens.ts'
import { NamedRefusal } from './oauth-error.ts'
import type { PushedRequests, PushedResponse } from './pushed-requests.ts'
import type { SignIn } from './sign-ins.ts'

/** How long after the first answer the form may be sent again. */
const doubleSubmitMs = 5_000

export interface AuthorizationEndpointOptions extends RequestRules {
  readonly codes: Pick<AuthorizationCodes, 'issue'>
  readonly consents: Consents
  readonly pushed: PushedRequests
  readonly idTokens: Pick<IdTokens, 'readHint'>
  readonly store: Pick<SessionStore, 'putOneTime' | 'findOneTime'>
  readonly clock: Clock
  /** How long a sign-in lasts. */
  readonly signInLifetimeMs: number
}

/** The next step of an authorization request. */
export type Step =
  | { readonly kind: 'redirect'; readonly url: string }
  | { readonly kind: 'sign_in' }
  | { readonly kind: 'consent'; readonly signIn: SignIn }

/** An acceptable request that has no answer yet. */
export interface Pending {
  readonly request: AuthorizationRequest
  readonly interaction: Interaction
}

/** The user, as far as the issuer knows, and the browser. */
export interface Visitor {
  readonly signIn: SignIn | null
  readonly userAgent: string
  /** Whether the user has just signed in, on a page of this request. */
  readonly isFresh?: boolean
  /** Whether the user has just granted the requested scopes. */
  readonly hasConsented?: boolean
}

/**
 * The authorization endpoint (RFC 6749 §3.1, OpenID Connect Core §3.1.2), without HTTP and pages.
 */
export class AuthorizationEndpoint {
  readonly #options: AuthorizationEndpointOptions

  constructor(options: AuthorizationEndpointOptions) {
    this.#options = options
  }

  /**
   * Stores a request that a client has pushed (RFC 9126 §2).
   *
   * @param client has authenticated
   * @param jkt the key of which the client has proven possession (RFC 9449 §10.1)
   * @param address of the client. A public client may store only so many requests
   * @throws `request_malformed`, `redirect_uri_not_allowed`, `grant_not_allowed`, `scope_not_allowed`,
   *   `resource_not_allowed`, `dpop_proof_invalid`, `overloaded`, `store_unavailable`
   */
  async push(
    client: Client,
    form: Form,
    jkt: string | undefined,
    address: string,
  ): Promise<PushedResponse> {
    const own = Object.fromEntries(Object.entries(form).filter(([name]) => !credentials.has(name)))
    const values: Record<string, string> = { ...own, client_id: client.client_id }
    if (jkt !== undefined) {
      if (values.dpop_jkt !== undefined && values.dpop_jkt !== jkt) {
        throw invalidProof('its key is not that of dpop_jkt')
      }
      values.dpop_jkt = jkt
    }
    limitLength(values)
    const checked = validateRequest({ values, repeated: new Set() }, this.#options)
    if ('url' in checked) throw checked.cause
    return this.#options.pushed.push(values, isConfidential(client) ? null : address)
  }

  /**
   * Reads an authorization request.
   *
   * @param query the parameters as received
   * @param browserId the random id of the browser
   * @throws `client_unknown`, `redirect_uri_not_allowed`, `request_malformed`,
   *   `request_uri_invalid`, `grant_not_allowed`, `store_unavailable`: the caller shows a page,
   *   because there is no address to redirect to
   */
  async begin(query: string, browserId: string): Promise<Pending | RefusedRequest> {
    const { pushed, clock } = this.#options
    const { values, repeated } = readQuery(query)
    const { request_uri: requestUri, client_id: clientId } = values
    if (!requestUri?.startsWith('urn:')) {
      return this.resume({ parameters: values, startedAtMs: clock.nowMs() }, repeated)
    }
    refuseRepeated(repeated)
    // The parameters of a pushed request replace all others (RFC 9126 §4).
    const taken = await pushed.take(requestUri, clientId, browserId)
    return this.resume({ ...taken, startedAtMs: clock.nowMs() })
  }

  /**
   * Continues a request, for example when its form was sent. Checks the request each time, because
   * the settings may have changed.
   *
   * @param repeated the parameters that occur more than once
   * @throws `client_unknown`, `redirect_uri_not_allowed`, `request_malformed`, `grant_not_allowed`
   */
  resume(
    interaction: Interaction,
    repeated: ReadonlySet<string> = new Set(),
  ): Pending | RefusedRequest {
    const { parameters, pushedId } = interaction
    const request = validateRequest({ values: parameters, repeated }, this.#options)
    if ('url' in request) return request
    if (request.client.require_pushed_authorization_requests && pushedId === undefined) {
      return refused(request, this.#options.issuer, malformed('The client must push its requests.'))
    }
    return { request, interaction }
  }

  /**
   * Decides the next step: a page, or an answer to the client.
   *
   * @throws `request_uri_invalid` if the pushed request has been answered; `store_unavailable`
   */
  async proceed(pending: Pending, visitor: Visitor, audit: Audit): Promise<Step> {
    const { consents, idTokens } = this.#options
    const { request, interaction } = pending
    const { prompts, idTokenHint } = request
    const isSilent = prompts.has('none')
    const hint = idTokenHint === undefined ? undefined : await idTokens.readHint(idTokenHint)
    // Nobody can sign in as the expected user, because an unreadable hint names no user.
    if (hint === null) return this.refuse(pending, 'login_required', unreadableHint)
    const signIn = this.#acceptedSignIn(pending, visitor, hint?.sub)
    if (signIn === null) {
      // OpenID Connect Core §3.1.2.1: a user whom the `id_token_hint` does not name has signed in.
      if (!isSilent && !visitor.isFresh) return { kind: 'sign_in' }
      return this.refuse(pending, 'login_required', 'The expected user has to sign in.')
    }
    const { client, scope } = request
    const { sub } = signIn.account
    if (visitor.hasConsented) {
      if (client.third_party) await consents.grant(client, sub, scope)
      audit('consent.granted', { sub, sid: signIn.sid, client_id: client.client_id })
    } else if (
      // The page was opened again, for example by the way back from the application.
      interaction.sub === sub ||
      prompts.has('consent') ||
      canBeImpersonated(request) ||
      (await consents.missing(client, sub, scope)).length > 0
    ) {
      if (!isSilent) return { kind: 'consent', signIn }
      return this.refuse(pending, 'consent_required', 'The user has to consent.')
    }
    // The code comes first: a request for which the store has none is not answered.
    const url = await this.#grant(request, signIn, visitor.userAgent)
    await this.#answerOnce(interaction)
    return { kind: 'redirect', url }
  }

  /** Returns the redirect that tells the client why there is no code. */
  async refuse(pending: Pending, error: string, description: string) {
    await this.#answerOnce(pending.interaction)
    const url = this.failureUrl(pending, new NamedRefusal(error, description))
    return { kind: 'redirect', url } as const
  }

  /** Returns the redirect that reports a failure to the client. */
  failureUrl({ request }: Pending, failure: GatepassError): string {
    return refused(request, this.#options.issuer, failure).url
  }

  /** Returns the sign-in if it has the user and the maximum age that the request requires. */
  #acceptedSignIn(
    { request, interaction }: Pending,
    { signIn, isFresh = false }: Visitor,
    expectedSub: string | undefined,
  ): SignIn | null {
    if (signIn === null) return null
    const { clock, signInLifetimeMs } = this.#options
    // The setting may have become shorter since. A session that starts now could be too old at once.
    if (clock.nowMs() >= signIn.authTimeMs + signInLifetimeMs) return null
    if (expectedSub !== undefined && expectedSub !== signIn.account.sub) return null
    // A sign-in was accepted when the consent page was shown. This one may be newer.
    if (isFresh || interaction.sub === signIn.account.sub) return signIn
    const { prompts, maxAgeSeconds = Number.POSITIVE_INFINITY } = request
    if (prompts.has('login') || prompts.has('select_account')) return null
    // The age is unknown if the clock was set back since.
    const ageSeconds = Math.abs(nowSeconds(clock) - Math.floor(signIn.authTimeMs / 1000))
    return maxAgeSeconds === 0 || ageSeconds > maxAgeSeconds ? null : signIn
  }

  /**
   * RFC 9126 §4: a pushed request gets one answer, however often its pages are loaded. A form that
   * is sent twice, for example by a double click, is answered twice: the browser shows the second
   * answer.
   */
  async #answerOnce({ pushedId, startedAtMs }: Interaction): Promise<void> {
    if (pushedId === undefined) return
    const { store, clock } = this.#options
    const id = `${pushedId}.answered`
    const nowMs = clock.nowMs()
    await store.putOneTime(id, String(nowMs), startedAtMs + 2 * interactionLifetimeMs)
    const firstMs = await store.findOneTime(id, nowMs)
    if (firstMs !== null && nowMs - Number(firstMs) > doubleSubmitMs) {
      throw new GatepassError('request_uri_invalid')
    }
  }

  async #grant(request: AuthorizationRequest, signIn: SignIn, userAgent: string): Promise<string> {
    const { codes, issuer } = this.#options
    const { client, redirectUri, state, codeChallenge, scope, nonce, resource, jkt } = request
    const code = await codes.issue({
      clientId: client.client_id,
      redirectUri,
      codeChallenge,
      scope,
      nonce,
      resource,
      jkt,
      sub: signIn.account.sub,
      signInSid: signIn.sid,
      amr: signIn.amr,
      authTimeMs: signIn.authTimeMs,
      userAgent,
    })
    return withParameters(redirectUri, { code, state, iss: issuer })
  }
}

/**
 * Returns whether any program on the device can send the request and receive the response. The user may
 * have given an earlier consent to another program (RFC 8252 §8.6).
 */
function canBeImpersonated({ client, redirectUri }: AuthorizationRequest): boolean {
  if (!client.third_party || isConfidential(client)) return false
  return new URL(redirectUri).protocol !== 'https:'
}

const unreadableHint = 'The id_token_hint is not an ID token of this issuer, or is too old.'

/** Parameters of a pushed request that do not belong to the authorization request. */
const credentials: ReadonlySet<string> = new Set([
  'client_secret',
  'client_assertion',
  'client_assertion_type',
])

/** How long a user may spend on the pages of one request. */
export const interactionLifetimeMs = 3_600_000

/** An authorization request while its user is on the pages of the issuer. */
export interface Interaction {
  /** The validated parameters of the request. */
  readonly parameters: Form
  /** When the first page was requested. */
  readonly startedAtMs: number
  /** The id of the pushed request, which gets one answer (RFC 9126 §4). */
  readonly pushedId?: string | undefined
  /** The user who is asked for consent. */
  readonly sub?: string
  /** The last attempt to sign in, which failed. */
  readonly failed?: FailedSignIn | undefined
}

export interface FailedSignIn extends Pick<GatepassError, 'code' | 'retryAfterSeconds'> {
  readonly username: string
}

/** The key that wraps a new content key for each text has no limit on its uses. */
const header = { alg: 'A256KW', enc: 'A256GCM' } as const

/**
 * Carries interactions through the forms and addresses of the pages, without a store. The text is encrypted
 * (JWE): an address may end up in histories and logs. It has the browser's random id, which is a cookie, so a
 * page of another site cannot make such a text.
 */
export class InteractionCodec {
  readonly #keys: Secrets
  readonly #clock: Clock

  constructor([newest, ...older]: Secrets, clock: Clock) {
    const keyOf = (secret: Buffer) => hmac(secret, 'gatepass interaction')
    this.#keys = [keyOf(newest), ...older.map(keyOf)]
    this.#clock = clock
  }

  /** @param browserId the random id of the browser that gets the text */
  encode(interaction: Interaction, browserId: string): Promise<string> {
    const content = Buffer.from(JSON.stringify({ ...interaction, browserId }))
    return new CompactEncrypt(content).setProtectedHeader(header).encrypt(this.#keys[0])
  }

  /**
   * @throws `form_expired` if the text is too old, was made for another browser, or was not made by
   *   the issuer
   */
  async decode(text: string | null, browserId: string | undefined): Promise<Interaction> {
    const interaction = await this.read(text)
    const nowMs = this.#clock.nowMs()
    if (
      interaction === null ||
      interaction.browserId !== browserId ||
      nowMs - interaction.startedAtMs > interactionLifetimeMs
    ) {
      throw new GatepassError('form_expired')
    }
    return interaction
  }

  /** Returns an interaction of any age and browser, or null if the text was not made by the issuer. */
  async read(text: string | null): Promise<(Interaction & { readonly browserId: string }) | null> {
    for (const key of this.#keys) {
      try {
        const { plaintext } = await compactDecrypt(text ?? '', key, {
          keyManagementAlgorithms: [header.alg],
          contentEncryptionAlgorithms: [header.enc],
        })
        return JSON.parse(Buffer.from(plaintext).toString())
      } catch {
        // Another secret may decrypt it.
      }
    }
    return null
  }
}
