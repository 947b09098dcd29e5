import { GatepassError, isGatepassError, problemType, toProblem } from '../core/errors.ts'
import type { TokenScheme } from './authorization.ts'
import { challengeHeaders } from './challenge.ts'

/** The answer to a request that is refused for its token. */
export interface Refusal {
  readonly error: GatepassError
  /** The challenge of a 401 or 403, or the `Retry-After` of a 503; and `Cache-Control`. */
  readonly headers: Readonly<Record<string, string>>
  /** Of the media type `problemType`: says no more than the code, whatever the cause. */
  readonly body: string
}

export { problemType }

/**
 * Makes the answer to a request that is refused.
 *
 * @param thrown a GatepassError; anything else is a failure of our own, of which a client learns nothing
 * @param requiredScope as for `challengeHeaders`
 */
export function refusalOf(thrown: unknown, requiredScope = '', scheme?: TokenScheme): Refusal {
  const error = isGatepassError(thrown)
    ? thrown
    : new GatepassError('internal_error', { cause: thrown })
  const challenge = challengeHeaders(error, requiredScope, scheme)
  const namesClaims = error.code === 'token_claims' && !isProduction()
  return {
    error,
    headers: { ...challenge, 'cache-control': 'no-store' },
    body: JSON.stringify(toProblem(error, { namesClaims })),
  }
}

/** By the variable that Express and most build tools read. Deno may forbid that: production, then. */
function isProduction(): boolean {
  try {
    return process.env.NODE_ENV === 'production'
  } catch {
    return true
  }
}
