import { STATUS_CODES } from 'node:http'
import { type FieldProblem, isGatepassError } from '@gatepass/verifier'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'

/** Errors of the shop, with their status. */
const statuses = {
  product_unknown: 404,
  route_not_found: 404,
  cart_empty: 409,
  request_invalid: 422,
  cart_full: 422,
  internal_error: 500,
} as const

export type ShopErrorCode = keyof typeof statuses

export class ShopError extends Error {
  override readonly name = 'ShopError'
  readonly code: ShopErrorCode
  readonly problems: readonly FieldProblem[] | undefined

  /** @param message for the client to read */
  constructor(code: ShopErrorCode, message: string, problems?: readonly FieldProblem[]) {
    super(message)
    this.code = code
    this.problems = problems
  }

  get status(): number {
    return statuses[this.code]
  }
}

/**
 * Answers every failure with a problem of RFC 9457. The plugins throw errors with a stable `code`, and
 * set `WWW-Authenticate` and `Retry-After` themselves.
 */
export function sendProblem(thrown: FastifyError, request: FastifyRequest, reply: FastifyReply) {
  const { status, code, message, problems } = known(thrown)
  // 503 is not logged: during an outage of the store, a line per request would fill the disk.
  if (status === 500) request.log.error({ err: thrown, code, request_id: request.id }, 'failed')
  return reply
    .code(status)
    .type('application/problem+json')
    .header('cache-control', 'no-store')
    .send({
      type: `urn:${isGatepassError(thrown) ? 'gatepass' : 'shop'}:error:${code}`,
      title: STATUS_CODES[status],
      status,
      code,
      // Only the log has internal details.
      ...(status < 500 && { detail: message }),
      ...(problems && { errors: problems }),
    })
}

function known(thrown: FastifyError) {
  if (isGatepassError(thrown) || thrown instanceof ShopError) return thrown
  if (thrown.validation !== undefined) {
    const problems = thrown.validation.map(({ instancePath, message = '' }) => ({
      pointer: `/${thrown.validationContext}${instancePath}`.replace(/\/$/, ''),
      detail: message,
    }))
    return new ShopError('request_invalid', 'The request is not acceptable.', problems)
  }
  const { statusCode: status = 500, message } = thrown
  if (status >= 500) return new ShopError('internal_error', message)
  return { status, code: 'request_malformed', message, problems: undefined }
}
