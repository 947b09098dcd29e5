/** The public entry `gatepass/fetch`. */
import { errorCodes, GatepassError, isGatepassError } from '../core/errors.ts'
import type { AccessTokenClaims } from '../tokens/claims.ts'
import { readPublicUrl } from './dpop/request-target.ts'
import { createGuard, type RouteAuth } from './guard.ts'
import type { Verifier } from './verifier.ts'

export type { RouteAuth } from './guard.ts'

export interface FetchAuthOptions extends RouteAuth {
  /** The public address of the service, for the proofs of DPoP tokens (RFC 9449). */
  readonly publicUrl?: string
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
 * import { createVerifier } from 'gatepass'
 * import { tokenGuard } from 'gatepass/fetch'
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
 * @throws `config_invalid` if the demands are not of their form; the function itself never rejects
 */
export function tokenGuard(
  verifier: Verifier,
  { publicUrl, ...auth }: FetchAuthOptions = {},
): (request: Request) => Promise<Authorized> {
  const guard = createGuard(verifier, auth)
  const targetOf = readPublicUrl(publicUrl)
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
    } catch (error) {
      return { claims: null, refusal: refusalOf(error, guard.challenge(error, headers)) }
    }
  }
}

/** RFC 9457. */
function refusalOf(error: unknown, headers: Readonly<Record<string, string>>): Response {
  const { code } = isGatepassError(error) ? error : new GatepassError('internal_error')
  const { status, title } = errorCodes[code]
  const body = { type: `urn:gatepass:error:${code}`, title, status, code }
  return new Response(JSON.stringify(body), {
    status,
    headers: {
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
      ...headers,
    },
  })
}
