import { STATUS_CODES } from 'node:http'
import { type FieldProblem, isGatepassError } from '@gatepass/verifier'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'

/** What the shop itself has to refuse, each with the status of its answer. */
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
 * Every failure is a problem of RFC 9457. The plugins throw errors with a stable `code`, and have set
 * `WWW-Authenticate` and `Retry-After` already where these belong.
 */
export function sendProblem(thrown: FastifyError, request: FastifyRequest, reply: FastifyReply) {
  const { status, code, message, problems } = known(thrown)
  // 503 is no fault of the shop: while a store is away, a line for each request would fill the disk.
  if (status === 500) request.log.error({ err: thrown, code }, 'failed')
  return reply
    .code(status)
    .type('application/problem+json')
    .header('cache-control', 'no-store')
    .send({
      type: `urn:${isGatepassError(thrown) ? 'gatepass' : 'shop'}:error:${code}`,
      title: STATUS_CODES[status],
      status,
      code,
      // What went wrong inside is for the log alone.
      ...(status < 500 && { detail: message }),
      ...(problems && { errors: problems }),
    })
}

function known(thrown: FastifyError) {
  if (isGatepassError(thrown) || thrown instanceof ShopError) return thrown
  if (thrown.validation !== undefined) {
    const problems = thrown.validation.map(({ instancePath, message = '' }) => ({
      pointer: `/${thrown.validationContext}${instancePath}`,
      detail: message,
    }))
    return new ShopError('request_invalid', 'The request is not acceptable.', problems)
  }
  const { statusCode: status = 500, message } = thrown
  if (status >= 500) return new ShopError('internal_error', message)
  return { status, code: 'request_malformed', message, problems: undefined }
}
