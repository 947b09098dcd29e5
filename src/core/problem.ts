import { type ErrorCode, errorCodes, type FieldProblem, type GatepassError } from './errors.ts'

/** The media type of an error answer (RFC 9457 §3). */
export const problemType = 'application/problem+json'

/** The body of an error answer (RFC 9457). */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: ErrorCode
  readonly detail?: string
  readonly errors?: readonly FieldProblem[]
  readonly request_id?: string
}

export interface ProblemOptions {
  readonly requestId?: string
  /** Whether `token_claims` names the claims and what they must be. Default false, for production. */
  readonly namesClaims?: boolean
}

export function toProblem(
  { code, detail, problems }: GatepassError,
  { requestId, namesClaims = false }: ProblemOptions = {},
): Problem {
  const { status, title } = errorCodes[code]
  const namesFields = problems !== undefined && (namesClaims || code !== 'token_claims')
  return {
    type: `urn:gatepass:error:${code}`,
    title,
    status,
    code,
    ...(detail !== undefined && status < 500 && { detail }),
    ...(namesFields && { errors: problems }),
    ...(requestId !== undefined && { request_id: requestId }),
  }
}
