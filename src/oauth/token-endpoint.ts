import { GatepassError } from '../core/errors.ts'
import type { Audit } from '../issuer/audit.ts'
import {
  type Client,
  type GrantType,
  grantScope,
  mayUse,
  openidScope,
  remainingScope,
  requireGrant,
  requireKey,
  sessionKey,
  tokenExchange,
} from '../issuer/clients.ts'
import type { Refresh } from '../issuer/refresh.ts'
import type { SessionStarter, Sessions } from '../issuer/sessions.ts'
import {
  type AccessTokenResponse,
  accessTokenResponse,
  type SessionResponse,
  sessionResponse,
  type TokenMinter,
  type TokenSet,
} from '../issuer/token-minter.ts'
import { isActive } from '../issuer/users.ts'
import type { AccountStore, Session } from '../stores/ports.ts'
import { hasScopes } from '../tokens/access-token.ts'
import {
  type AuthorizationCodes,
  type AuthorizationGrant,
  invalidCode,
} from './authorization-codes.ts'
import type { BackchannelLogout } from './backchannel-logout.ts'
import { type Consents, withdrawnReason } from './consents.ts'
import { type Form, malformed, requireParameter, severalAudiences } from './form.ts'
import type { IdTokens } from './id-tokens.ts'
import { accessTokenUrn, type TokenExchange } from './token-exchange.ts'

export interface TokenEndpointOptions {
  readonly minter: TokenMinter
  readonly refresh: Refresh
  readonly starter: SessionStarter
  readonly accounts: Pick<AccountStore, 'findBySub'>
  readonly codes: AuthorizationCodes
  readonly consents: Pick<Consents, 'missing'>
  readonly idTokens: IdTokens
  readonly backchannel: Pick<BackchannelLogout, 'register'>
  readonly sessions: Pick<Sessions, 'find' | 'revokeUnchecked'>
  readonly exchange: TokenExchange
}

/** A token request whose client has authenticated. */
export interface TokenRequest {
  readonly client: Client
  readonly form: Form
  /** The key of which the client has proven possession (RFC 9449). */
  readonly jkt: string | undefined
  readonly idempotencyKey: string | undefined
  readonly audit: Audit
}

export type TokenEndpointResponse = (AccessTokenResponse | SessionResponse) & {
  /** RFC 8693 §2.2.1. */
  readonly issued_token_type?: string
  /** OpenID Connect Core §3.1.3.3. */
  readonly id_token?: string
}

/** The `reason` in the audit log. */
const signedOutReason = 'sign_in_ended'

type Grant = (request: TokenRequest) => Promise<TokenEndpointResponse>

/**
 * The grants that the token endpoint offers (RFC 6749 §4, RFC 8693). The grant `password` stands
 * for `POST /login`.
 */
export class TokenEndpoint {
  readonly #options: TokenEndpointOptions
  readonly #grants: ReadonlyMap<string, Grant> = new Map<GrantType, Grant>([
    ['authorization_code', (request) => this.#redeemCode(request)],
    ['client_credentials', (request) => this.#forClient(request)],
    ['refresh_token', (request) => this.#rotate(request)],
    [tokenExchange, (request) => this.#exchange(request)],
  ])

  constructor(options: TokenEndpointOptions) {
    this.#options = options
  }

  /** The grants for the metadata (RFC 8414 `grant_types_supported`). */
  get grantTypes(): string[] {
    return [...this.#grants.keys()]
  }

  /**
   * Answers a token request.
   *
   * @throws `grant_unsupported`, `grant_not_allowed`, `request_malformed`; the errors of the grant
   */
  async answer(request: TokenRequest): Promise<TokenEndpointResponse> {
    const type = requireParameter(request.form, 'grant_type')
    const grant = this.#grants.get(type)
    if (grant === undefined) throw new GatepassError('grant_unsupported')
    requireGrant(request.client, type as GrantType)
    return grant(request)
  }

  /** RFC 6749 §4.4: a token of the service itself. It needs no row in a store. */
  async #forClient({ client, form, jkt, audit }: TokenRequest): Promise<TokenEndpointResponse> {
    const { minter } = this.#options
    const { client_id: clientId } = client
    requireKey(client, jkt)
    const scope = grantScope(client, form.scope)
    const audience = minter.audienceOf(client, form.resource)
    const issued = await minter.mintAccessToken({
      sub: clientId,
      clientId,
      scope,
      audience,
      jkt: jkt ?? null,
      account: null,
    })
    audit('token.issued', { client_id: clientId })
    return accessTokenResponse(issued)
  }

  /** RFC 6749 §6: rotates the refresh token like `/refresh`. */
  async #rotate(request: TokenRequest): Promise<TokenEndpointResponse> {
    const { client, form, jkt, idempotencyKey, audit } = request
    const tokens = await this.#options.refresh.rotate(
      {
        refreshToken: requireParameter(form, 'refresh_token'),
        clientId: client.client_id,
        resource: form.resource,
        scope: form.scope,
        idempotencyKey,
        jkt,
      },
      audit,
    )
    return sessionResponse(tokens, mayUse(client, 'refresh_token'))
  }

  /** RFC 6749 §4.1.3 with PKCE (RFC 7636). */
  async #redeemCode(request: TokenRequest): Promise<TokenEndpointResponse> {
    const { client, form, jkt } = request
    requireKey(client, jkt)
    const redeemed = {
      code: requireParameter(form, 'code'),
      clientId: client.client_id,
      redirectUri: form.redirect_uri,
      codeVerifier: form.code_verifier,
      jkt,
    }
    const tokens = await this.#options.codes.redeem(
      redeemed,
      (grant) => this.#startSession(grant, request),
      request.audit,
    )
    const { idToken, sub, sessionId } = tokens
    request.audit('login.ok', { sub, sid: sessionId, client_id: client.client_id })
    const response = sessionResponse(tokens, mayUse(client, 'refresh_token'))
    return { ...response, ...(idToken && { id_token: idToken }) }
  }

  async #startSession(
    grant: AuthorizationGrant,
    request: TokenRequest,
  ): Promise<TokenSet & { readonly sub: string; readonly idToken: string | null }> {
    const { accounts, minter, starter, sessions, idTokens } = this.#options
    const { client, form, jkt, audit } = request
    const account = await accounts.findBySub(grant.sub)
    if (!isActive(account)) throw invalidCode('its account is deleted or disabled')
    const resource = form.resource ?? grant.resource
    // RFC 8707 §2.2: the authorization request may have named one audience.
    if (grant.resource !== undefined && resource !== grant.resource) {
      throw new GatepassError('resource_not_allowed', {
        detail: 'The code is for another audience.',
      })
    }
    const audience = minter.audienceOf(client, resource)
    const { amr, userAgent, authTimeMs, nonce } = grant
    const newSession = {
      clientId: client.client_id,
      // The settings of the client may have changed since the code was issued.
      scope: remainingScope(client, grant.scope),
      amr,
      userAgent,
      authTimeMs,
      jkt: sessionKey(client, jkt),
    }
    const { session, tokens } = await starter.start(account, newSession, { audience, jkt }, audit)
    // Checked once the session exists: a sign-out or a withdrawal either ends it or is noticed here.
    const reason = await this.#reasonToRefuse(grant, client)
    if (reason !== null) {
      await sessions.revokeUnchecked(session.sid, reason, audit)
      throw invalidCode(reason)
    }
    const started = { ...tokens, sub: session.sub }
    if (!hasScopes(session.scope, openidScope)) return { ...started, idToken: null }
    await this.#registerForLogout(session, client)
    return { ...started, idToken: await idTokens.sign(session, tokens.accessToken, nonce) }
  }

  /** @throws `grant_invalid` if the session has ended, perhaps before its client was registered */
  async #registerForLogout(session: Session, client: Client): Promise<void> {
    const { backchannel, sessions } = this.#options
    const isNotified = await backchannel.register(client, session)
    if (isNotified && (await sessions.find(session.sid)) === null) {
      throw invalidCode('its session has ended')
    }
  }

  /** Returns why a grant has ended since its code was issued, or null. */
  async #reasonToRefuse(
    { sub, scope, signInSid }: AuthorizationGrant,
    client: Client,
  ): Promise<string | null> {
    const { consents, sessions } = this.#options
    if ((await sessions.find(signInSid)) === null) return signedOutReason
    return (await consents.missing(client, sub, scope)).length > 0 ? withdrawnReason : null
  }

  /** RFC 8693 §2.1. The authenticated client is the actor. */
  async #exchange({ client, form, jkt, audit }: TokenRequest): Promise<TokenEndpointResponse> {
    if (form.actor_token !== undefined)
      throw malformed('The client is the actor; send no actor_token.')
    const subjectToken = requireParameter(form, 'subject_token')
    const types = [
      requireParameter(form, 'subject_token_type'),
      form.requested_token_type ?? accessTokenUrn,
    ]
    if (types.some((type) => type !== accessTokenUrn)) {
      throw malformed(`The token types must be ${accessTokenUrn}.`)
    }
    const resource = form.resource
    const audience = form.audience ?? resource
    if (audience === undefined) throw malformed('The parameter audience or resource is required.')
    if (resource !== undefined && resource !== audience) {
      throw severalAudiences()
    }
    const exchanged = { subjectToken, audience, scope: form.scope, jkt }
    const issued = await this.#options.exchange.exchange(client, exchanged, audit)
    return { ...accessTokenResponse(issued), issued_token_type: accessTokenUrn }
  }
}
