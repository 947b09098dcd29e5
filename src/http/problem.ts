import { type ErrorCode, GatepassError } from '../core/errors.ts'

/** Hands a refused token on to the error handler of the service, which logs and answers. */
export function handOn(error: GatepassError): never {
  throw error
}

/** What Fastify and Node report, in our codes; anything else is our own fault. */
export function toGatepassError(error: unknown): GatepassError {
  if (error instanceof GatepassError) return error
  const { code, statusCode } = error as { code?: string; statusCode?: number }
  const known = code === undefined ? undefined : foreignCodes[code]
  if (known !== undefined) return new GatepassError(known, { cause: error })
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new GatepassError('request_malformed', { cause: error })
  }
  return new GatepassError('internal_error', { cause: error })
}

const foreignCodes: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'content_type_unsupported',
  FST_ERR_REOPENED_CLOSE_SERVER: 'shutting_down',
  HPE_HEADER_OVERFLOW: 'header_too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout',
}
