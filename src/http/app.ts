import { isUtf8 } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifySchemaCompiler,
  LogController,
  type onSendHookHandler,
  type RouteOptions,
} from 'fastify'
import { validatorCompiler } from 'fastify-type-provider-zod'
import type { z } from 'zod'
import { GatepassError } from '../core/errors.ts'
import { isPlainObject, objectsIn, parseJson } from '../core/json.ts'
import type { AccessTokenClaims } from '../tokens/access-token.ts'
import { withoutByteOrderMark } from '../tokens/strict-decoding.ts'
import { answerBrokenRequest, createErrorHandler } from './error-handler.ts'
import type { Metrics } from './metrics.ts'
import type { OpenApiInfo } from './openapi-document.ts'

/** Options that the process passes to every app. */
export interface AppOptions {
  readonly logger: FastifyBaseLogger
  /**
   * Proxies whose `X-Forwarded-For` is trusted: addresses and CIDR ranges. Default: none. The header
   * of other senders is ignored, because every client can send it.
   */
  readonly trustedProxies?: readonly string[]
  /** Whether `token_claims` lists the wrong claims. Default: false, for production. */
  readonly namesClaims?: boolean
}

/** The options that the issuer and the verifier service share. */
export interface ServiceOptions extends AppOptions {
  readonly metrics: Metrics
  readonly version: string
}

const maxBodyBytes = 16 * 1024
const maxHeaderBytes = 16 * 1024
const headersTimeoutMs = 5_000
const requestTimeoutMs = 10_000
/** How often Node looks for requests that exceed these timeouts. */
const timeoutCheckIntervalMs = 1_000
/** Longer than the idle timeout of common load balancers (60 s), so that they close first. */
export const keepAliveTimeoutMs = 72_000

/** After one to two of these times without a byte in either direction, Node closes a connection. */
const connectionTimeoutMs = 60_000
/** Most responses of a connection that wait for an earlier one. Load generators pipeline 16 requests. */
const maxWaitingResponses = 16

/** Without these compilers Fastify loads its own: 88 modules. Its types do not allow them. */
const compilersFactory = {
  buildValidator: () => compileValidator,
  buildSerializer: () => () => JSON.stringify,
} as object

/** Creates a Fastify instance with limits, error responses and request ids. */
export function createApp(options: AppOptions): FastifyInstance {
  const { logger, trustedProxies = [], namesClaims = false } = options
  const handleError = createErrorHandler(namesClaims)
  const app = fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    requestIdHeader: false,
    genReqId: requestIdOf,
    bodyLimit: maxBodyBytes,
    requestTimeout: requestTimeoutMs,
    connectionTimeout: connectionTimeoutMs,
    keepAliveTimeout: keepAliveTimeoutMs,
    // Requests that arrive during the shutdown are answered.
    return503OnClosing: false,
    http: {
      headersTimeout: headersTimeoutMs,
      maxHeaderSize: maxHeaderBytes,
      connectionsCheckingInterval: timeoutCheckIntervalMs,
      requireHostHeader: false,
      // By default Node drops the second of two credentials, which a proxy or a service may read.
      joinDuplicateHeaders: true,
      // Without a body, there is nothing to read and no event to wait for.
      optimizeEmptyRequests: true,
    },
    routerOptions: { maxParamLength: 128 },
    schemaController: { compilersFactory },
    trustProxy: trustedProxies.length > 0 && [...trustedProxies],
    clientErrorHandler: (error, socket) => answerBrokenRequest(error, socket, logger),
    frameworkErrors: (_error, request, reply) => {
      if (closeIfFlooding(request.raw, reply.raw as ServerResponse)) return
      // No hook runs for such an address.
      reply.header('x-content-type-options', 'nosniff')
      // The message of Fastify quotes the address, which may contain a token.
      const detail = 'The path has an invalid percent-encoding, or a part that is too long.'
      const error = new GatepassError('request_malformed', { detail })
      return handleError(error, request, reply as FastifyReply)
    },
  }) as FastifyInstance
  // A child logger per request costs more than the verification of a token. In each request, Fastify would check
  // what a `childLoggerFactory` returns.
  app.log.child = () => app.log
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, parseBody)
  app.addContentTypeParser('*', refuseBody)
  app.setErrorHandler(handleError)
  app.setNotFoundHandler(() => {
    throw new GatepassError('route_not_found')
  })
  app.addHook('onRoute', (route) => {
    if (route.method !== 'HEAD') return
    route.onSend = [route.onSend ?? [], removeLengthOfNotModified].flat()
  })
  app.addHook('onRequest', ({ raw }, reply, done) => {
    if (closeIfFlooding(raw, reply.raw)) return void reply.hijack()
    reply.header('x-content-type-options', 'nosniff')
    // Many clients send a type without a body. Fastify would wait for an end that has passed, or refuse it.
    const isEmpty = raw.readableEnded || raw.headers['content-length'] === '0'
    if (isEmpty) raw.headers['content-type'] = undefined
    if (hasValidHost(raw)) return done()
    const detail = 'A request needs one valid header Host.'
    done(new GatepassError('request_malformed', { detail }))
  })
  return app
}

/** Fastify gives each response without a body to HEAD the length 0, which RFC 9110 §8.6 forbids for a 304. */
const removeLengthOfNotModified: onSendHookHandler = (_request, reply, payload, done) => {
  if (reply.statusCode === 304) reply.removeHeader('content-length')
  done(null, payload)
}

const waitingResponses = new WeakMap<Socket, number>()

/**
 * Closes the connection of a client that sends many requests and reads no responses (RFC 9112 §9.3.2):
 * Node keeps each response until the client has read the earlier ones. Returns whether it did.
 */
function closeIfFlooding({ socket }: IncomingMessage, response: ServerResponse): boolean {
  // Node gives the socket to one response at a time.
  if (response.socket !== null) return false
  const waiting = (waitingResponses.get(socket) ?? 0) + 1
  waitingResponses.set(socket, waiting)
  response.once('close', () => {
    waitingResponses.set(socket, (waitingResponses.get(socket) ?? 0) - 1)
  })
  if (waiting > maxWaitingResponses) socket.destroy()
  return socket.destroyed
}

/** Characters that no host and port have (RFC 3986 §3.2), and the comma by which Node joins two headers. */
const outsideHost = /[\s,/?#@\\]/

/** RFC 9112 §3.2. A health check may lack the header, and Node's own response says nothing. */
function hasValidHost({ headers: { host }, httpVersion }: IncomingMessage): boolean {
  if (host === undefined) return httpVersion !== '1.1'
  return !outsideHost.test(host)
}

/**
 * Compiles a schema of a route. Valid headers are not replaced: Fastify would merge both copies at
 * each access.
 */
export const compileValidator: FastifySchemaCompiler<z.core.$ZodType> = (route) => {
  const validate = validatorCompiler(route)
  if (route.httpPart !== 'headers') return validate
  return (headers) => {
    const { error } = validate(headers) as { readonly error?: Error }
    return error === undefined ? true : { error }
  }
}

/**
 * Parses JSON. A chunked body that ends empty is undefined. Bytes that are not UTF-8 are refused (RFC 8259
 * §8.1): decoding would replace them.
 */
async function parseBody(_request: FastifyRequest, bytes: Buffer): Promise<unknown> {
  if (bytes.length === 0) return undefined
  const refused = (detail: string) => new GatepassError('request_malformed', { detail })
  if (!isUtf8(bytes)) throw refused('The body is not UTF-8.')
  // The parser of Fastify may misread a name after the request of another client.
  const body = parseJson(withoutByteOrderMark(bytes).toString())
  if (body === undefined || objectsIn(body).some(namesPrototype)) {
    throw refused('The body is not JSON, or names __proto__ or constructor.prototype.')
  }
  return body
}

/** Whether a copy of an object may change a prototype. */
function namesPrototype(object: Readonly<Record<string, unknown>>): boolean {
  if (Object.hasOwn(object, '__proto__')) return true
  const named = object.constructor
  return isPlainObject(named) && Object.hasOwn(named, 'prototype')
}

/** Refuses a body of another type. A chunked body that ends empty counts as no body. */
function refuseBody(request: FastifyRequest, payload: IncomingMessage): Promise<undefined> {
  return new Promise((resolve, reject) => {
    if (request.is404) return resolve(undefined)
    payload.once('data', () => reject(new GatepassError('content_type_unsupported')))
    payload.once('end', () => resolve(undefined))
    // The client has disconnected.
    payload.once('error', (cause) => reject(new GatepassError('request_malformed', { cause })))
  })
}

/** W3C Trace Context, version 00: `00-<trace id>-<parent id>-<flags>`. */
const traceparent = /^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/
const zeroTrace = '0'.repeat(32)
/** Matches no access token and no refresh token, so that neither reaches the log as a request id. */
const plainId = /^[A-Za-z0-9_-]{8,64}$/

/** Returns the id that connects the log lines of a request: the caller's if it is valid. */
export function requestIdOf(request: Pick<IncomingMessage, 'headers'>): string {
  const trace = request.headers.traceparent
  if (typeof trace === 'string') {
    const id = traceparent.exec(trace)?.[1]
    if (id !== undefined && id !== zeroTrace) return id
  }
  const given = request.headers['x-request-id']
  if (typeof given === 'string' && plainId.test(given)) return given
  return randomUUID()
}

/**
 * Returns the IP address of the client.
 *
 * @throws `request_malformed` if the client has disconnected: its address is unknown
 */
export function clientAddressOf(request: FastifyRequest): string {
  const { ip } = request as { readonly ip: string | undefined }
  if (ip === undefined) throw new GatepassError('request_malformed')
  return ip
}

const maxUserAgentLength = 256

/** Returns the `User-Agent`, by which users recognize their devices, as far as it is stored. */
export function userAgentOf({ headers }: FastifyRequest): string {
  return (headers['user-agent'] ?? '').slice(0, maxUserAgentLength)
}

/** Returns the verified claims. The guard of the route refuses requests without them. */
export function callerOf({ auth }: FastifyRequest): AccessTokenClaims {
  if (auth === null) throw new GatepassError('token_missing')
  return auth
}

/** The methods of each route. */
export type RouteTable = ReadonlyMap<string, ReadonlySet<string>>

/** Collects the routes that are registered after this call. */
export function collectRoutes(app: FastifyInstance): RouteTable {
  const routes = new Map<string, Set<string>>()
  app.addHook('onRoute', ({ url, method }) => {
    const methods = routes.get(url) ?? new Set()
    for (const one of [method].flat()) methods.add(one)
    routes.set(url, methods)
  })
  return routes
}

/**
 * Makes every route answer other methods with 405 and `Allow` (RFC 9110 §15.5.6). Call it after the
 * last of the routes, in the scope whose error handler answers.
 */
export function refuseOtherMethods(app: FastifyInstance, routes: RouteTable): void {
  for (const [url, methods] of routes) {
    // The catch-all route of CORS preflights.
    if (url === '*') continue
    const others = app.supportedMethods.filter((method) => !methods.has(method))
    if (others.length === 0) continue
    const allow = [...methods].sort().join(', ')
    app.route({
      method: others,
      url,
      schema: { hide: true },
      // Runs before the body is read, because the content of the body does not matter.
      onRequest: async (_request, reply) => {
        reply.header('allow', allow)
        throw new GatepassError('method_not_allowed')
      },
      handler: async () => {},
    })
  }
}

/** Serves `/openapi.json`, generated from the schemas of the routes that are registered later. */
export function serveOpenApi(app: FastifyInstance, info: OpenApiInfo): void {
  const routes: RouteOptions[] = []
  app.addHook('onRoute', (route) => {
    if (route.method !== 'HEAD' && !route.schema?.hide) routes.push(route)
  })
  let document: Promise<string> | undefined
  app.get(
    '/openapi.json',
    { schema: { summary: 'This document', tags: ['service'] } },
    async (_request, reply) => {
      document ??= import('./openapi-document.ts').then(async ({ createOpenApiDocument }) =>
        JSON.stringify(await createOpenApiDocument(routes, info)),
      )
      return reply
        .type('application/json')
        .header('cache-control', 'public, max-age=300')
        .serializer(String)
        .send(await document)
    },
  )
}
