import type { Socket } from 'node:net'
import fastify, {
  type FastifyBaseLogger,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify'
import { validatorCompiler } from 'fastify-type-provider-zod'
import { type FieldProblem, GatepassError, problemType, toProblem } from '../core/errors.ts'
import { authorizationScheme } from '../verifier/guard.ts'
import { challengeHeaders } from '../verifier/refusal.ts'
import type { Metrics } from './metrics.ts'
import { toGatepassError } from './problem.ts'
import { requestIdOf } from './request-id.ts'

/** What both services need from the process that starts them. */
export interface ServiceOptions {
  readonly logger: FastifyBaseLogger
  readonly metrics: Metrics
  readonly version: string
  /**
   * Proxies whose `X-Forwarded-For` is trusted: addresses and CIDR ranges. Default: none. The header
   * of other senders is ignored, because every client can send it.
   */
  readonly trustedProxies?: readonly string[]
  /** Whether `token_claims` names the unacceptable claims to a client. Default: false, for production. */
  readonly namesClaims?: boolean
}

/** Limits on what a stranger may send. */
const bodyBytesMax = 16 * 1024
const headerBytesMax = 16 * 1024
const headersTimeoutMs = 5_000
const requestTimeoutMs = 10_000
const checkingIntervalMs = 1_000
/** Longer than the idle time of common load balancers (60 s), so that they close first. */
const keepAliveTimeoutMs = 72_000

/**
 * A Fastify instance with our limits, errors and request ids; both services are built on it.
 *
 * @param trustedProxies whose `X-Forwarded-For` says where a request comes from; from anywhere else
 *   the header is ignored, since every stranger can send one
 * @param namesClaims whether `token_claims` tells a client which claims are wrong: not in production
 */
export function createApp(
  logger: FastifyBaseLogger,
  trustedProxies: readonly string[] = [],
  namesClaims = false,
): FastifyInstance {
  const sendError = errorSender(namesClaims)
  const app = fastify({
    loggerInstance: logger,
    logController: new LogController({
      disableRequestLogging: true,
      requestIdLogLabel: 'request_id',
    }),
    // A child logger for each request would cost more than verifying a token.
    childLoggerFactory: (parent) => parent,
    requestIdHeader: false,
    genReqId: requestIdOf,
    bodyLimit: bodyBytesMax,
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: keepAliveTimeoutMs,
    // A request that arrives while the app closes is answered like any other.
    return503OnClosing: false,
    http: {
      headersTimeout: headersTimeoutMs,
      maxHeaderSize: headerBytesMax,
      // Node looks for requests that are over time this often only.
      connectionsCheckingInterval: checkingIntervalMs,
    },
    routerOptions: { maxParamLength: 128 },
    trustProxy: trustedProxies.length > 0 && [...trustedProxies],
    clientErrorHandler: answerBrokenRequest,
    frameworkErrors: (error, request, reply) => sendError(error, request, reply as FastifyReply),
  }) as FastifyInstance
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, parseJson(app))
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(() => JSON.stringify)
  app.setErrorHandler(sendError)
  app.setNotFoundHandler(() => {
    throw new GatepassError('route_not_found')
  })
  app.addHook('onRequest', (_request, reply, done) => {
    reply.header('x-content-type-options', 'nosniff')
    done()
  })
  return app
}

/** JSON as Fastify reads it; but many clients name the type of a body that they do not send. */
function parseJson(app: FastifyInstance) {
  const parse = app.getDefaultJsonParser('error', 'error')
  type Done = (error: Error | null, body?: unknown) => void
  return (request: FastifyRequest, body: string, done: Done) => {
    if (body === '') done(null, undefined)
    else parse(request, body, done)
  }
}

/**
 * Makes every address that was registered so far answer 405 and `Allow` to the methods it does not
 * take (RFC 9110 §15.5.6). To be called once, after the last route.
 */
export function refuseOtherMethods(app: FastifyInstance, routes: RouteTable): void {
  for (const [url, methods] of routes) {
    // The catch-all of CORS preflights: what is nowhere stays 404.
    if (url === '*') continue
    const others = app.supportedMethods.filter((method) => !methods.has(method))
    if (others.length === 0) continue
    const allow = [...methods].sort().join(', ')
    app.route({
      method: others,
      url,
      schema: { hide: true },
      // Before the body is read: it does not matter what it holds.
      onRequest: async (_request, reply) => {
        reply.header('allow', allow)
        throw new GatepassError('method_not_allowed')
      },
      handler: async () => {},
    })
  }
}

export type RouteTable = ReadonlyMap<string, ReadonlySet<string>>

/** Collects the addresses and their methods as they are registered. */
export function collectRoutes(app: FastifyInstance): RouteTable {
  const routes = new Map<string, Set<string>>()
  app.addHook('onRoute', ({ url, method }) => {
    const methods = routes.get(url) ?? new Set()
    for (const one of [method].flat()) methods.add(one)
    routes.set(url, methods)
  })
  return routes
}

function errorSender(namesClaims: boolean) {
  return (thrown: FastifyError | unknown, request: FastifyRequest, reply: FastifyReply) => {
    const error = invalidFields(thrown) ?? toGatepassError(thrown)
    const line = { request_id: request.id, err: error.cause ?? error, code: error.code }
    // A storm is no fault, and the metrics count it: a line for each request would fill the disk.
    if (error.status >= 500 && error.code !== 'overloaded') request.log.error(line, 'failed')
    else request.log.debug(line, 'refused')
    if (error.retryAfterSeconds !== undefined)
      reply.header('retry-after', String(error.retryAfterSeconds))
    // A refused token or proof carries its challenge, wherever in a request it was refused.
    if (/^(token|dpop)_/.test(error.code) && !reply.hasHeader('www-authenticate')) {
      const expected = error.code.startsWith('dpop_') ? 'DPoP' : 'Bearer'
      const scheme = authorizationScheme(request.headers.authorization) ?? expected
      reply.headers(challengeHeaders(error, '', scheme))
    }
    return reply
      .code(error.status)
      .type(problemType)
      .header('cache-control', 'no-store')
      .serializer(JSON.stringify)
      .send(toProblem(error, { requestId: request.id, namesClaims }))
  }
}

/** The paths of what a schema did not accept. Says what was expected, never what was sent. */
function invalidFields(error: unknown): GatepassError | null {
  const { validation, validationContext } = error as FastifyError
  if (validation === undefined) return null
  const problems = validation.map(
    (issue): FieldProblem => ({
      pointer: `/${validationContext ?? 'body'}${issue.instancePath}`.replace(/\/$/, ''),
      detail: issue.message ?? 'is not acceptable',
    }),
  )
  return new GatepassError('request_invalid', { problems })
}

/** What is not even HTTP never reaches a route: it is answered on the bare socket. */
function answerBrokenRequest(thrown: Error, socket: Socket): void {
  if (!socket.writable) {
    socket.destroy()
    return
  }
  const error = toGatepassError(thrown)
  const refused = error.code === 'internal_error' ? new GatepassError('request_malformed') : error
  const body = JSON.stringify(toProblem(refused))
  socket.end(
    `HTTP/1.1 ${refused.status} \r\nContent-Type: ${problemType}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}
