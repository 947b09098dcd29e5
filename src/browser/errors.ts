import type { AuthErrorCode } from './types.ts'

/** `code` is stable; `message` is for people and may change. */
export class AuthClientError extends Error {
  readonly code: AuthErrorCode
  /** The HTTP status; 0 when there was no answer. */
  readonly status: number
  /** After how many seconds it is worth trying again. */
  readonly retryAfter_s: number | undefined

  constructor(code: AuthErrorCode, status: number, message: string = code, retryAfter_s?: number) {
    super(message)
    this.name = 'AuthClientError'
    this.code = code
    this.status = status
    this.retryAfter_s = retryAfter_s
  }
}

export function unreachable(): AuthClientError {
  return new AuthClientError('issuer_unreachable', 0)
}

/** What is read of RFC 9457. */
interface Problem {
  readonly code?: AuthErrorCode
  readonly title?: string
}

/**
 * What an answer holds; null where it has no body.
 * @throws the error that it is; whatever stands before the issuer may have answered too
 */
export async function contentOf(response: Response): Promise<unknown> {
  if (response.ok) return response.status === 204 ? null : response.json()
  const problem = (await response.json().catch(() => null)) as Problem | null
  const wait_s = Number(response.headers.get('retry-after') ?? undefined)
  throw new AuthClientError(
    problem?.code ?? 'issuer_unreachable',
    response.status,
    problem?.title,
    wait_s >= 0 ? wait_s : undefined,
  )
}
