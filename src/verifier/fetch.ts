/** The public entry `@gatepass/verifier/fetch`. */
import { type GatepassError, problemType } from '../core/errors.ts'
import type { AccessTokenClaims } from '../tokens/access-token.ts'
import { readPublicUrl } from './dpop/target-uri.ts'
import { checkFunction, checkGuardOptions, createGuard, type RouteAuth } from './guard.ts'
import {
  createResourceMetadata,
  type ProtectedResource,
  type ResourceOption,
} from './protected-resource.ts'
import type { Verifier } from './verifier.ts'

export type { RouteAuth } from './guard.ts'
export type { ProtectedResource } from './protected-resource.ts'

export interface FetchAuthOptions extends RouteAuth, ResourceOption {
  /**
   * Public address of the service, for DPoP proofs (RFC 9449). Default: the address in the URL of
   * the request.
   */
  readonly publicUrl?: string
  /**
   * Returns the response to a refused request. Receives the default response, and may return it or copy
   * its status and headers.
   */
  readonly onRefused?: (
    error: GatepassError,
    request: Request,
    response: Response,
  ) => Response | Promise<Response>
}

/** The claims of the token, or the response that refuses the request. */
export type Authorized =
  | { readonly claims: AccessTokenClaims; readonly refusal: null }
  | { readonly claims: null; readonly refusal: Response }

/**
 * Creates a function that verifies the token of a request of the Fetch API, for Hono and other
 * frameworks with `Request` and `Response`.
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
 * @throws `config_invalid` if an option is invalid. The returned function rejects only if `onRefused`
 *   does.
 */
export function tokenGuard(
  verifier: Verifier,
  options: FetchAuthOptions = {},
): (request: Request) => Promise<Authorized> {
  const { publicUrl, resource, onRefused, ...auth } = checkGuardOptions(options)
  const metadata = resource === undefined ? null : createResourceMetadata(verifier, resource)
  const guard = createGuard(verifier, auth, metadata?.url)
  const targetOf = readPublicUrl(publicUrl)
  checkFunction('onRefused', onRefused)
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

/**
 * Creates a function that answers requests for the metadata of a protected resource (RFC 9728), and
 * returns null for all other requests.
 *
 * ```ts
 * import { createVerifier } from '@gatepass/verifier'
 * import { resourceMetadata, tokenGuard } from '@gatepass/verifier/fetch'
 *
 * const resource = 'https://api.example.com/orders'
 * const verifier = createVerifier({ issuer: 'https://auth.example.com', audience: resource })
 * const metadata = resourceMetadata(verifier, resource)
 * const guard = tokenGuard(verifier, { resource })
 *
 * export async function answer(request: Request): Promise<Response> {
 *   const described = metadata(request)
 *   if (described !== null) return described
 *   const { claims, refusal } = await guard(request)
 *   return refusal ?? Response.json({ user: claims.sub })
 * }
 * ```
 *
 * @throws `config_invalid`
 */
export function resourceMetadata(
  verifier: Verifier,
  resource: string | ProtectedResource,
): (request: Request) => Response | null {
  const metadata = createResourceMetadata(verifier, resource)
  return ({ method, url }) => {
    if (!metadata.isFor(method, new URL(url).pathname)) return null
    return new Response(method === 'HEAD' ? null : metadata.body, { headers: metadata.headers })
  }
}
