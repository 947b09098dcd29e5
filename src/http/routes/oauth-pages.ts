import { readFileSync } from 'node:fs'
import { domainToUnicode } from 'node:url'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type ErrorCode, type GatepassError, isGatepassError } from '../../core/errors.ts'
import { claimNames } from '../../issuer/clients.ts'
import type { Interaction, Pending, Visitor } from '../../oauth/authorization-endpoint.ts'
import {
  type RefusedRequest,
  readQuery,
  withParameters,
} from '../../oauth/authorization-request.ts'
import { scopesToGrant } from '../../oauth/consents.ts'
import { type Form, formatForm, refuseRepeated } from '../../oauth/form.ts'
import type { SignIn } from '../../oauth/sign-ins.ts'
import { clientAddressOf, userAgentOf } from '../app.ts'
import { maxCookieSeconds } from '../cookies.ts'
import { OriginGuard } from '../cross-origin.ts'
import { noteError } from '../error-handler.ts'
import type { IssuerContext } from '../issuer-app.ts'
import {
  consentPage,
  type FailureLink,
  failurePage,
  type PageFrame,
  signedOutPage,
  signInPage,
  signOutPage,
} from '../pages/page.ts'
import { failureMessage, textsFor } from '../pages/texts.ts'
import { authorizationQuery, endSessionQuery, pageResponses } from '../schemas.ts'
import { acceptForms, formOf, formTextOf } from './oauth.ts'

export const authorizationUrl = '/oauth/authorize'
const signInUrl = '/oauth/sign-in'
const consentUrl = '/oauth/consent'
const styleUrl = '/oauth/style.css'
const iconUrl = '/oauth/icon.svg'
export const endSessionUrl = '/oauth/logout'

/** Addresses that a browser opens, and that no script of another page may call. */
export const pageUrls: ReadonlySet<string> = new Set([
  authorizationUrl,
  signInUrl,
  consentUrl,
  endSessionUrl,
])

/** Sends and reads the pages of the issuer. */
class Pages {
  readonly #context: IssuerContext
  readonly paths: PageFrame['paths'] & { readonly authorize: string }
  readonly #host: string
  /** The forms come from the issuer itself: the origins of front ends may not send them. */
  readonly #origins: OriginGuard

  constructor(context: IssuerContext) {
    const { origin, pathname, hostname, port } = new URL(context.issuer.policy.issuer)
    const below = (url: string) => `${pathname === '/' ? '' : pathname}${url}`
    this.#context = context
    this.#host = `${domainToUnicode(hostname)}${port && `:${port}`}`
    this.#origins = new OriginGuard([origin])
    this.paths = {
      authorize: below(authorizationUrl),
      style: below(styleUrl),
      icon: below(iconUrl),
      signIn: below(signInUrl),
      consent: below(consentUrl),
      signOut: below(endSessionUrl),
    }
  }

  frame({ headers }: FastifyRequest, uiLocales: string | undefined): PageFrame {
    const texts = textsFor(uiLocales, headers['accept-language'])
    return { texts, paths: this.paths, host: this.#host }
  }

  /**
   * Sends a page that nobody can frame, and that loads nothing but its own style and picture.
   *
   * @param redirectUri the last redirect after a form of the page. Chromium applies `form-action`
   *   to every redirect after a form, and a client may redirect to another origin of its own. So
   *   the scheme of the client is allowed.
   */
  send(reply: FastifyReply, page: string, redirectUri?: string): FastifyReply {
    const scheme = redirectUri === undefined ? '' : ` ${new URL(redirectUri).protocol}`
    return reply
      .type('text/html; charset=utf-8')
      .headers({
        'cache-control': 'no-store',
        'content-security-policy': `default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'${scheme}; frame-ancestors 'none'; base-uri 'none'`,
        'x-frame-options': 'DENY',
        // Hides the `state` in the address from other sites, and keeps the `Origin` of the forms.
        'referrer-policy': 'same-origin',
      })
      .serializer(String)
      .send(page)
  }

  /** RFC 9700 §4.12: a 303, so that no browser sends a password on. */
  redirect(reply: FastifyReply, url: string): FastifyReply {
    return reply
      .removeHeader('retry-after')
      .code(303)
      .headers({ location: url, 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' })
      .send()
  }

  /**
   * Redirects the form of an application to the same request by GET. Browsers send no cookies with the
   * form of another site, but send them with a redirect.
   *
   * @throws `request_malformed` if the parameters may not be in an address
   */
  redirectForm(request: FastifyRequest, reply: FastifyReply, path: string): FastifyReply {
    // Repeated parameters stay: the request by GET reports them to the client.
    const query = String(new URLSearchParams(formTextOf(request)))
    readQuery(query)
    return this.redirect(reply, `${path}?${query}`)
  }

  /**
   * Reads the interaction of a form or an address of the issuer. The origin, and the id of the browser in
   * a cookie, protect forms from cross-site requests.
   *
   * @throws `origin_not_allowed`, `form_expired`
   */
  async read(request: FastifyRequest): Promise<Interaction> {
    const { browserCookie, oauth } = this.#context
    if (request.method === 'POST') this.#origins.check(request)
    const text = sentParameters(request).get('interaction')
    return oauth.interactions.decode(text, browserCookie.read(request))
  }

  encode(request: FastifyRequest, reply: FastifyReply, interaction: Interaction): Promise<string> {
    const { browserCookie, oauth } = this.#context
    return oauth.interactions.encode(interaction, browserCookie.ensure(request, reply))
  }

  /**
   * Returns the link by which the user of a refused form starts again. A pushed request cannot be
   * opened again, so its link tells the client of the error.
   *
   * @param form of any age and browser: anybody can make such links
   */
  failureLink(
    { routeOptions }: FastifyRequest,
    form: Interaction | null,
    error: GatepassError,
  ): FailureLink | null {
    if (form === null || error.code === 'origin_not_allowed') return null
    const { parameters, pushedId } = form
    const { signOut, authorize } = this.paths
    if (routeOptions.url === endSessionUrl) {
      return { text: 'startAgain', url: withParameters(signOut, parameters) }
    }
    const { authorization } = this.#context.oauth
    try {
      const resumed = authorization.resume(form)
      if (pushedId === undefined) {
        return { text: 'startAgain', url: withParameters(authorize, parameters) }
      }
      const url = 'url' in resumed ? resumed.url : authorization.failureUrl(resumed, error)
      return { text: 'backToApplication', url }
    } catch {
      // The request would lead to a failure page again.
      return null
    }
  }
}

/** Registers the pages of the issuer, on which users sign in, consent and sign out. */
export function pageRoutes(app: FastifyInstance, context: IssuerContext): void {
  const pages = new Pages(context)
  acceptForms(app)
  // The schemas are for the OpenAPI document: the endpoints decide which errors redirect.
  app.setValidatorCompiler(() => () => true)
  answerWithPages(app, context, pages)
  pageFileRoutes(app)
  authorizationRoutes(app, context, pages)
  endSessionRoutes(app, context, pages)
}

function answerWithPages(app: FastifyInstance, { oauth }: IssuerContext, pages: Pages): void {
  app.setErrorHandler(async (thrown, request, reply) => {
    const error = noteError(thrown, request, reply)
    const sent = sentParameters(request)
    const form = await oauth.interactions.read(sent.get('interaction'))
    const uiLocales = form?.parameters.ui_locales ?? sent.get('ui_locales') ?? undefined
    const frame = pages.frame(request, uiLocales)
    const page = failurePage(frame, {
      message: failureMessage(frame.texts, error),
      link: pages.failureLink(request, form, error),
      code: error.code,
      requestId: request.id,
    })
    return pages.send(reply.code(error.status), page)
  })
}

/** The style and the picture of the pages. */
function pageFileRoutes(app: FastifyInstance): void {
  const read = (file: string) => readFileSync(new URL(`../pages/${file}`, import.meta.url), 'utf8')
  for (const [url, text, type] of [
    [styleUrl, read('common.css') + read('style.css'), 'text/css; charset=utf-8'],
    [iconUrl, read('icon.svg'), 'image/svg+xml'],
  ] as const) {
    app.get(url, { schema: { hide: true } }, async (_request, reply) =>
      reply.type(type).header('cache-control', 'public, max-age=300').serializer(String).send(text),
    )
  }
}

/** `/oauth/authorize` and the pages that it leads to. */
function authorizationRoutes(app: FastifyInstance, context: IssuerContext, pages: Pages): void {
  const { oauth, signInCookie, browserCookie, deviceCookie, auditOf } = context
  const { authorization, signIns } = oauth

  async function proceed(
    request: FastifyRequest,
    reply: FastifyReply,
    pending: Pending,
    visitor: Omit<Visitor, 'userAgent'>,
  ): Promise<FastifyReply> {
    const whole = { ...visitor, userAgent: userAgentOf(request) }
    const step = await authorization.proceed(pending, whole, auditOf(request))
    if (step.kind === 'redirect') return pages.redirect(reply, step.url)
    if (step.kind === 'consent') return askConsent(request, reply, pending, step.signIn)
    return askSignIn(request, reply, pending)
  }

  /** Tells the client that its request is not acceptable. */
  function refuse(request: FastifyRequest, reply: FastifyReply, { url, cause }: RefusedRequest) {
    noteError(cause, request, reply)
    return pages.redirect(reply, url)
  }

  async function deny(reply: FastifyReply, pending: Pending): Promise<FastifyReply> {
    const description = 'The user has refused.'
    const { url } = await authorization.refuse(pending, 'access_denied', description)
    return pages.redirect(reply, url)
  }

  // A form is answered by a redirect to the next page: a reload, or the way back, does not send it again.
  async function askSignIn(
    request: FastifyRequest,
    reply: FastifyReply,
    { request: asked, interaction: { failed, ...interaction } }: Pending,
  ): Promise<FastifyReply> {
    if (request.method === 'POST') {
      const text = await pages.encode(request, reply, { ...interaction, failed })
      return pages.redirect(reply, withParameters(pages.paths.signIn, { interaction: text }))
    }
    const frame = pages.frame(request, asked.uiLocales)
    const page = signInPage(frame, {
      isWrong: failed?.code === 'credentials_invalid',
      client: asked.client.client_name ?? asked.client.client_id,
      username: failed?.username ?? asked.loginHint ?? '',
      failure: failed === undefined ? null : failureMessage(frame.texts, failed),
      interaction: await pages.encode(request, reply, interaction),
    })
    return pages.send(reply, page, asked.redirectUri)
  }

  async function askConsent(
    request: FastifyRequest,
    reply: FastifyReply,
    { request: asked, interaction }: Pending,
    { account }: SignIn,
  ): Promise<FastifyReply> {
    const { client, scope, redirectUri, uiLocales } = asked
    const parameters = { ...interaction.parameters, scope }
    // The answer counts for this user and this scope only. The settings may change meanwhile.
    const { sub } = account
    const text = await pages.encode(request, reply, { ...interaction, parameters, sub })
    if (request.method === 'POST') {
      return pages.redirect(reply, withParameters(pages.paths.consent, { interaction: text }))
    }
    const page = consentPage(pages.frame(request, uiLocales), {
      client: client.client_name ?? client.client_id,
      username: account.loginName,
      scopes: scopesToGrant(scope).map((name) => ({
        name,
        attributes: claimNames(client, name),
      })),
      redirectTarget: redirectTargetOf(redirectUri),
      interaction: text,
    })
    return pages.send(reply, page, redirectUri)
  }

  app.get(
    authorizationUrl,
    {
      exposeHeadRoute: false,
      schema: {
        summary: 'Sign in at the issuer, for a client (RFC 6749 §3.1)',
        tags: ['oauth'],
        produces: ['text/html'],
        querystring: authorizationQuery,
        response: pageResponses,
      },
    },
    async (request, reply) => {
      const browserId = browserCookie.ensure(request, reply)
      const begun = await authorization.begin(queryOf(request), browserId)
      if ('url' in begun) return refuse(request, reply, begun)
      try {
        const signIn = await signIns.find(signInCookie.read(request))
        return await proceed(request, reply, begun, { signIn })
      } catch (error) {
        // A request that may show no page reports its failure to the client.
        if (!begun.request.prompts.has('none')) throw error
        const url = authorization.failureUrl(begun, noteError(error, request, reply))
        return pages.redirect(reply, url)
      }
    },
  )

  // OpenID Connect Core §3.1.2.1.
  app.post(authorizationUrl, { schema: { hide: true } }, async (request, reply) =>
    pages.redirectForm(request, reply, pages.paths.authorize),
  )

  /**
   * Shows a form once more that has expired, or whose cookie another tab has replaced: tabs that open
   * at once each get a cookie.
   */
  async function askAgainAfter(error: unknown, request: FastifyRequest, reply: FastifyReply) {
    if (!isGatepassError(error, 'form_expired')) throw error
    const expired = await oauth.interactions.read(sentParameters(request).get('interaction'))
    // A client must push its request again.
    if (expired === null || expired.pushedId !== undefined) throw error
    const browserId = browserCookie.ensure(request, reply)
    const begun = await authorization.begin(formatForm(expired.parameters), browserId)
    if ('url' in begun) throw error
    const form = formOf(request)
    if (form.decision === 'cancel') return deny(reply, begun)
    noteError(error, request, reply)
    // Not the name in `expired`: another browser may open an address from a history or a log.
    return askSignIn(request, reply, afterFailure(begun, form.username ?? '', error))
  }

  async function signInRoute(request: FastifyRequest, reply: FastifyReply) {
    let pending: Pending | RefusedRequest
    try {
      pending = authorization.resume(await pages.read(request))
    } catch (error) {
      return askAgainAfter(error, request, reply)
    }
    if ('url' in pending) return refuse(request, reply, pending)
    if (request.method === 'GET') return askSignIn(request, reply, pending)
    const form = formOf(request)
    if (form.decision === 'cancel') return deny(reply, pending)
    // The keyboard of a phone appends a space to a word that it suggests.
    const username = form.username?.trim() ?? ''
    try {
      const { signIn, token, expiresInSeconds, deviceToken } = await signIns.signIn(
        {
          username,
          password: form.password ?? '',
          userAgent: userAgentOf(request),
          address: clientAddressOf(request),
          deviceToken: deviceCookie.read(request),
        },
        signInCookie.read(request),
        auditOf(request),
      )
      signInCookie.set(reply, token, expiresInSeconds)
      deviceCookie.set(reply, deviceToken, maxCookieSeconds)
      return await proceed(request, reply, pending, { signIn, isFresh: true })
    } catch (error) {
      if (!isGatepassError(error, ...askAgain)) throw error
      noteError(error, request, reply)
      return askSignIn(request, reply, afterFailure(pending, username, error))
    }
  }

  async function consentRoute(request: FastifyRequest, reply: FastifyReply) {
    const interaction = await pages.read(request)
    const pending = authorization.resume(interaction)
    if ('url' in pending) return refuse(request, reply, pending)
    const { decision } = formOf(request)
    if (decision === 'switch_user') return askSignIn(request, reply, pending)
    if (request.method === 'POST' && decision !== 'allow') return deny(reply, pending)
    const signIn = await signIns.find(signInCookie.read(request))
    // Another user may have signed in meanwhile, in another tab.
    const hasConsented = decision === 'allow' && signIn?.account.sub === interaction.sub
    return proceed(request, reply, pending, { signIn, hasConsented })
  }

  // Each page has one address, for itself and its form.
  for (const [url, handler] of [
    [signInUrl, signInRoute],
    [consentUrl, consentRoute],
  ] as const) {
    app.route({
      method: ['GET', 'POST'],
      url,
      exposeHeadRoute: false,
      schema: { hide: true },
      handler,
    })
  }
}

/**
 * Registers `/oauth/logout`, to which applications send users to sign out (OpenID Connect
 * RP-Initiated Logout).
 */
function endSessionRoutes(app: FastifyInstance, context: IssuerContext, pages: Pages): void {
  const { issuer, oauth, signInCookie, auditOf } = context
  const { signIns, signOut } = oauth
  const schema = {
    summary: 'Sign out at the issuer, for a client',
    tags: ['oauth'],
    produces: ['text/html'],
    querystring: endSessionQuery,
    response: pageResponses,
  }

  /** Signs the user out, or asks first if a question is needed and `isConfirmed` is false. */
  async function end(
    request: FastifyRequest,
    reply: FastifyReply,
    parameters: Form,
    isConfirmed: boolean,
  ): Promise<FastifyReply> {
    const asked = await signOut.read(parameters)
    const signIn = await signIns.find(signInCookie.read(request))
    const frame = pages.frame(request, parameters.ui_locales)
    if (!isConfirmed && signOut.needsConfirmation(asked, signIn)) {
      const startedAtMs = issuer.clock.nowMs()
      const interaction = await pages.encode(request, reply, { parameters, startedAtMs })
      const page = signOutPage(frame, { interaction })
      return pages.send(reply, page, parameters.post_logout_redirect_uri)
    }
    await signOut.end(asked, signIn, auditOf(request))
    signInCookie.clear(reply)
    if (asked.url !== null) return pages.redirect(reply, asked.url)
    if (!isConfirmed) return pages.send(reply, signedOutPage(frame))
    // The page that answers a GET can be loaded again without sending the form again.
    const { ui_locales } = parameters
    return pages.redirect(reply, withParameters(pages.paths.signOut, { ui_locales }))
  }

  app.get(endSessionUrl, { exposeHeadRoute: false, schema }, async (request, reply) => {
    const { values, repeated } = readQuery(queryOf(request))
    refuseRepeated(repeated)
    return end(request, reply, values, false)
  })

  // Without `interaction` the form is from an application.
  app.post(endSessionUrl, { schema: { hide: true } }, async (request, reply) => {
    if (formOf(request).interaction === undefined) {
      return pages.redirectForm(request, reply, pages.paths.signOut)
    }
    const { parameters } = await pages.read(request)
    return end(request, reply, parameters, true)
  })
}

/** As in the form. An address has no place for more. */
const maxUsernameLength = 254

/** Failures of a sign-in after which the form is shown again. */
const askAgain: readonly ErrorCode[] = [
  'credentials_invalid',
  'too_many_attempts',
  'overloaded',
  'store_unavailable',
]

/** Returns the request with a failed sign-in, which the page of the form shows. */
function afterFailure(
  pending: Pending,
  username: string,
  { code, retryAfterSeconds }: GatepassError,
): Pending {
  const failed = { username: username.slice(0, maxUsernameLength), code, retryAfterSeconds }
  return { ...pending, interaction: { ...pending.interaction, failed } }
}

/** Returns the host, or the scheme of an app, in whose addresses any text can take the place of a host. */
function redirectTargetOf(redirectUri: string): string {
  const { host, protocol } = new URL(redirectUri)
  return /^https?:$/.test(protocol) ? host : protocol.slice(0, -1)
}

/** Returns the parameters of a form, or of the address. */
function sentParameters(request: FastifyRequest): URLSearchParams {
  return new URLSearchParams(formTextOf(request) || queryOf(request))
}

function queryOf({ raw }: FastifyRequest): string {
  const { url = '' } = raw
  const start = url.indexOf('?')
  return start === -1 ? '' : url.slice(start + 1)
}
