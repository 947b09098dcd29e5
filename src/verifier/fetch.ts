/** The public entry `@gatepass/verifier/fetch`. */
import type { GatepassError } from '../core/errors.ts'
import type { AccessTokenClaims } from '../tokens/access-token.ts'
import { readPublicUrl } from './dpop/target-uri.ts'
import { checkOnRefused, createGuard, type RouteAuth } from './guard.ts'
import { problemType } from './refusal.ts'
import type { Verifier } from './verifier.ts'

export type { RouteAuth } from './guard.ts'

export interface FetchAuthOptions extends RouteAuth {
  /** The public address of the service, for the proofs of DPoP tokens (RFC 9449). */
  readonly publicUrl?: string
  /**
   * Gives another answer to a refused request. The response that it is given is the one that the guard
   * would answer with; it may return that one, or take its status and headers.
   */
  readonly onRefused?: (
    error: GatepassError,
    request: Request,
    response: Response,
  ) => Response | Promise<Response>
}

/** What came of a request: the claims of its token, or the answer that refuses it. */
export type Authorized =
  | { readonly claims: AccessTokenClaims; readonly refusal: null }
  | { readonly claims: null; readonly refusal: Response }

/**
 * Makes a function from a request of the Fetch API to the claims of its token, for Hono and whatever
 * else speaks `Request` and `Response`.
 *
 * ```ts
 * import { createVerifier } from '@gatepass/verifier'
 * import { tokenGuard } from '@gatepass/verifier/fetch'
 *
 * const verifier = createVerifier({
 *   issuer: 'https://auth.example.com',
 *   audience: 'https://api.example.com',
 * })
 * const readsOrders = tokenGuard(verifier, { scope: 'orders:read' })
 *
 * export async function answer(request: Request): Promise<Response> {
 *   const { claims, refusal } = await readsOrders(request)
 *   return refusal ?? Response.json({ user: claims.sub })
 * }
 * ```
 *
 * @throws `config_invalid` if the options are not of their form; the function itself rejects only if
 *   `onRefused` does
 */
export function tokenGuard(
  verifier: Verifier,
  { publicUrl, onRefused, ...auth }: FetchAuthOptions = {},
): (request: Request) => Promise<Authorized> {
  const guard = createGuard(verifier, auth)
  const targetOf = readPublicUrl(publicUrl)
  checkOnRefused(onRefused)
  return async (request) => {
    const headers = {
      authorization: request.headers.get('authorization') ?? undefined,
      dpop: request.headers.get('dpop') ?? undefined,
    }
    try {
      const claims = await guard.check(headers, () => {
        const { protocol, host, pathname, search } = new URL(request.url)
        const target = targetOf({
          method: request.method,
          protocol: protocol.slice(0, -1),
          host,
          originalUrl: pathname + search,
        })
        return { ...target, request }
      })
      return { claims, refusal: null }
    } catch (thrown) {
      const { error, headers: challenge, body } = guard.refusal(thrown, headers)
      const response = new Response(body, {
        status: error.status,
        headers: { 'content-type': problemType, ...challenge },
      })
      return { claims: null, refusal: (await onRefused?.(error, request, response)) ?? response }
    }
  }
}
