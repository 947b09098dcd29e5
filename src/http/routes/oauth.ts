import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { GatepassError } from '../../core/errors.ts'
import { attributeClaims, type Client, openidScope } from '../../issuer/clients.ts'
import { isActive } from '../../issuer/users.ts'
import { readClientCredentials } from '../../oauth/client-authentication.ts'
import { type Form, malformed, parseForm, requireParameter } from '../../oauth/form.ts'
import { toOAuthError } from '../../oauth/oauth-error.ts'
import {
  callerOf,
  clientAddressOf,
  collectRoutes,
  compileValidator,
  refuseOtherMethods,
} from '../app.ts'
import { noteError } from '../error-handler.ts'
import type { IssuerContext } from '../issuer-app.ts'
import {
  bearer,
  clientAuthentication,
  introspectionResponse,
  issuedTokenForm,
  loginHeaders,
  oauthError,
  oauthTokenResponse,
  problem,
  pushedRequestForm,
  pushedRequestResponse,
  refreshHeaders,
  revoked,
  tokenForm,
  userInfo,
} from '../schemas.ts'

export const pushedRequestUrl = '/oauth/par'
export const tokenUrl = '/oauth/token'
export const revocationUrl = '/oauth/revoke'
export const introspectionUrl = '/oauth/introspect'
export const userInfoUrl = '/oauth/userinfo'

const formType = 'application/x-www-form-urlencoded'
const formParameters: ReadonlySet<string> = new Set(
  [tokenForm, pushedRequestForm, issuedTokenForm].flatMap(({ shape }) => Object.keys(shape)),
)

/** `/oauth/par`, `/oauth/token`, `/oauth/revoke`, `/oauth/introspect`: what standard clients call. */
export function oauthRoutes(instance: FastifyInstance, context: IssuerContext): void {
  const app = instance.withTypeProvider<ZodTypeProvider>()
  const { oauth, provenKey, auditOf } = context
  const routes = collectRoutes(instance)
  requireForms(app)
  answerInOAuth(app)

  /** @throws `client_authentication_failed`, `request_malformed`, `too_many_attempts` */
  function authenticate(request: FastifyRequest, form: Form): Promise<Client> {
    const credentials = readClientCredentials(request.headers.authorization, form)
    return oauth.authentication.authenticate(credentials, {
      address: clientAddressOf(request),
      audit: auditOf(request),
    })
  }

  app.post(
    pushedRequestUrl,
    {
      schema: {
        summary: 'Push an authorization request (RFC 9126)',
        tags: ['oauth'],
        security: clientAuthentication,
        consumes: [formType],
        headers: loginHeaders,
        body: pushedRequestForm,
        response: { 201: pushedRequestResponse, default: oauthError },
      },
    },
    async (request, reply) => {
      const form = formOf(request)
      const jkt = provenKey(request)
      const client = await authenticate(request, form)
      const pushed = await oauth.authorization.push(client, form, jkt, clientAddressOf(request))
      return reply.code(201).send(pushed)
    },
  )

  app.post(
    tokenUrl,
    {
      schema: {
        summary: 'Get tokens by a grant (RFC 6749)',
        tags: ['oauth'],
        security: clientAuthentication,
        consumes: [formType],
        headers: refreshHeaders,
        body: tokenForm,
        response: { 200: oauthTokenResponse, default: oauthError },
      },
    },
    async (request) => {
      const form = formOf(request)
      // Checked before the client, so that a request without a nonce uses up no client assertion.
      const jkt = provenKey(request)
      const client = await authenticate(request, form)
      const idempotencyKey = request.headers['idempotency-key']
      const audit = auditOf(request)
      return oauth.tokenEndpoint.answer({ client, form, jkt, idempotencyKey, audit })
    },
  )

  app.post(
    revocationUrl,
    {
      schema: {
        summary: 'End the session of a token (RFC 7009)',
        tags: ['oauth'],
        security: clientAuthentication,
        consumes: [formType],
        body: issuedTokenForm,
        response: { 200: revoked, default: oauthError },
      },
    },
    async (request) => {
      const form = formOf(request)
      const client = await authenticate(request, form)
      await oauth.issuedTokens.revoke(client, requireParameter(form, 'token'), auditOf(request))
      // RFC 7009 §2.2: the body is ignored. Some clients refuse an answer that is not JSON.
      return {}
    },
  )

  app.post(
    introspectionUrl,
    {
      schema: {
        summary: 'Say whether a token is active (RFC 7662)',
        tags: ['oauth'],
        security: clientAuthentication,
        consumes: [formType],
        body: issuedTokenForm,
        response: { 200: introspectionResponse, default: oauthError },
      },
    },
    async (request) => {
      const form = formOf(request)
      const client = await authenticate(request, form)
      return oauth.issuedTokens.introspect(client, requireParameter(form, 'token'))
    },
  )

  // Here, so that the refusal has the form of RFC 6749, too.
  refuseOtherMethods(instance, routes)
}

/**
 * Registers `/oauth/userinfo`: the claims about a user that the scopes of a token select (OpenID
 * Connect Core §5.3).
 */
export function userInfoRoutes(app: FastifyInstance, { issuer }: IssuerContext): void {
  const { sessions, accounts, clients } = issuer
  // OpenID Connect Core §5.3.1: clients may also send POST. Its body is ignored.
  app.addContentTypeParser(formType, (_request, _body, done) => done(null))
  for (const method of ['GET', 'POST'] as const) {
    app.route({
      method,
      url: userInfoUrl,
      config: { auth: { scope: openidScope } },
      schema: {
        // The document describes GET only.
        hide: method === 'POST',
        summary: 'Claims about the user of a token (OpenID Connect Core §5.3)',
        tags: ['oauth'],
        security: bearer,
        response: { 200: userInfo, default: problem },
      },
      handler: async (request, reply) => {
        reply.header('cache-control', 'no-store')
        const { sub, sid = '', client_id: clientId = '', scope = '' } = callerOf(request)
        const session = await sessions.find(sid)
        const account = session === null ? null : await accounts.findBySub(sub)
        if (!isActive(account)) throw new GatepassError('token_revoked')
        const client = clients.find(clientId)
        const claims = Object.entries(client ? attributeClaims(account, client, scope) : {})
        // OpenID Connect Core §5.3.2: a claim without a value is left out.
        const known = claims.filter(([, value]) => value !== null && value !== '')
        return { ...Object.fromEntries(known), sub: account.sub }
      },
    })
  }
}

/** Makes the body of a request the text of a form, and refuses other bodies. */
export function acceptForms(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(formType, { parseAs: 'string' }, (_request, body, done) => {
    done(null, body)
  })
}

/** Returns the text of a form; empty without a body. */
export function formTextOf({ body }: FastifyRequest): string {
  return (body as string | null | undefined) ?? ''
}

/** @throws `request_malformed` if a parameter occurs twice, or there are too many */
export function formOf(request: FastifyRequest): Form {
  return parseForm(formTextOf(request))
}

/**
 * RFC 6749 §3.2: parameters come in a form, never in the address, which logs and histories keep. Unknown
 * ones are ignored everywhere: MSAL.js sends one in the address.
 */
function requireForms(app: FastifyInstance): void {
  acceptForms(app)
  // The schema of a form is for the OpenAPI document: each grant checks its own parameters.
  app.setValidatorCompiler((route) =>
    route.httpPart === 'body' ? () => true : compileValidator(route as never),
  )
  app.addHook('onRequest', (request, reply, done) => {
    // RFC 6749 §5.1 requires both.
    reply.headers({ 'cache-control': 'no-store', pragma: 'no-cache' })
    const isMisplaced = Object.keys(request.query as object).some((name) =>
      formParameters.has(name),
    )
    done(isMisplaced ? malformed('Send the parameters in the body.') : undefined)
  })
}

/** Answers errors in the form of RFC 6749 §5.2. */
function answerInOAuth(app: FastifyInstance): void {
  app.setErrorHandler((thrown, request: FastifyRequest, reply: FastifyReply) => {
    const error = noteError(thrown, request, reply)
    const { status, body } = toOAuthError(error)
    if (status === 401) reply.header('www-authenticate', 'Basic realm="gatepass", charset="UTF-8"')
    return reply
      .code(status)
      .type('application/json')
      .header('cache-control', 'no-store')
      .serializer(JSON.stringify)
      .send(body)
  })
}
