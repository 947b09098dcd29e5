import type { Socket } from 'node:net'
import type { FastifyBaseLogger, FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import {
  asGatepassError,
  type ErrorCode,
  type FieldProblem,
  GatepassError,
  problemType,
  toProblem,
} from '../core/errors.ts'
import { authorizationScheme, challengeHeaders } from '../verifier/guard.ts'
import { routeOf } from './metrics.ts'

/** Leaves the refusal of a token to the error handler of the service. */
export function throwRefusal(error: GatepassError): never {
  throw error
}

/**
 * Creates the function that logs an error and responds with a problem document (RFC 9457).
 *
 * @param namesClaims whether `token_claims` lists the wrong claims
 */
export function createErrorHandler(namesClaims: boolean) {
  return (thrown: unknown, request: FastifyRequest, reply: FastifyReply) => {
    const error = noteError(thrown, request, reply)
    if (/^(token|dpop|use_dpop)_/.test(error.code) && !reply.hasHeader('www-authenticate')) {
      const expected = error.code.includes('dpop_') ? 'DPoP' : 'Bearer'
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

/** Logs an error, and sets `Retry-After` if the error has a delay. Returns a GatepassError. */
export function noteError(
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): GatepassError {
  const error = invalidFields(thrown) ?? toGatepassError(thrown)
  logError(error, request)
  if (error.retryAfterSeconds !== undefined) {
    reply.header('retry-after', String(error.retryAfterSeconds))
  }
  return error
}

/** States of the service in which every request fails, without a cause of its own. */
const failingStates: ReadonlySet<ErrorCode> = new Set([
  'overloaded',
  'shutting_down',
  'keys_unavailable',
  'revocations_stale',
])

/**
 * Logs no state for each request, and a failure that repeats once a second. In a storm of requests the lines
 * would fill the disk and displace audit events.
 */
function logError(error: GatepassError, request: FastifyRequest): void {
  const err = error.cause ?? error
  const line = { request_id: request.id, err, code: error.code }
  const isState = failingStates.has(error.code) && error.cause === undefined
  if (error.status < 500 || isState) {
    request.log.debug(line, 'refused')
    return
  }
  const { method } = request
  const route = routeOf(request)
  const level = isRepeated(`${method} ${route} ${(err as Error).message}`, request.log)
    ? 'debug'
    : 'error'
  request.log[level]({ ...line, method, route }, 'failed')
}

interface RecentFailures {
  /** The second in which they occurred. */
  readonly second: number
  readonly failures: Set<string>
}

/** The failures of the current second in the log of each app. */
const recentFailures = new WeakMap<FastifyBaseLogger, RecentFailures>()

function isRepeated(failure: string, log: FastifyBaseLogger): boolean {
  const second = Math.floor(performance.now() / 1000)
  const recent = recentFailures.get(log)
  if (recent?.second !== second) {
    recentFailures.set(log, { second, failures: new Set([failure]) })
    return false
  }
  const isKnown = recent.failures.has(failure)
  recent.failures.add(failure)
  return isKnown
}

/** Converts what a handler, Fastify or Node threw. An unknown error is `internal_error`. */
function toGatepassError(error: unknown): GatepassError {
  const { code, statusCode } = error as { code?: string; statusCode?: number }
  const known = code === undefined ? undefined : foreignCodes[code]
  if (known !== undefined) return new GatepassError(known, { cause: error })
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new GatepassError('request_malformed', { cause: error })
  }
  return asGatepassError(error)
}

const foreignCodes: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'content_type_unsupported',
  HPE_HEADER_OVERFLOW: 'header_too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
}

/** Converts a failed validation. It names the expected form, never the value that was sent. */
function invalidFields(error: unknown): GatepassError | null {
  const { validation, validationContext } = error as FastifyError
  if (validation === undefined) return null
  const problems = validation.map(
    (issue): FieldProblem => ({
      pointer: `/${validationContext ?? 'body'}${issue.instancePath}`.replace(/\/$/, ''),
      detail: issue.message ?? 'is invalid',
    }),
  )
  return new GatepassError('request_invalid', { problems })
}

/** A reset of a connection whose client is still sending would lose the answer. */
const lingerMs = 500

/** Answers a request that is not valid HTTP on its socket, because it never reaches a route. */
export function answerBrokenRequest(
  thrown: NodeJS.ErrnoException,
  socket: Socket,
  log: FastifyBaseLogger,
): void {
  if (!socket.writable) {
    socket.destroy()
    return
  }
  const error = toGatepassError(thrown)
  const refused = error.code === 'internal_error' ? new GatepassError('request_malformed') : error
  // The error itself has the bytes of the request, which may contain a token.
  log.debug({ code: refused.code, reason: thrown.code }, 'refused')
  const body = JSON.stringify(toProblem(refused))
  socket.end(
    `HTTP/1.1 ${refused.status} \r\nContent-Type: ${problemType}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nDate: ${new Date().toUTCString()}\r\n` +
      `Connection: close\r\n\r\n${body}`,
  )
  // A client that keeps its end open would keep the connection, and its request could still run.
  setTimeout(() => socket.destroy(), lingerMs).unref()
}
