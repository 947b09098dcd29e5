import { GatepassError } from '../core/errors.ts'
import type { DpopPresentation } from './dpop/possession.ts'

/** How a token is presented: RFC 6750 §2.1, or RFC 9449 §7.1. */
export type TokenScheme = 'Bearer' | 'DPoP'

/** What `verify` is to be given of a request. */
export interface PresentedToken {
  readonly token: string
  /** By the scheme `DPoP`; undefined by the scheme `Bearer`. */
  readonly dpop: DpopPresentation | undefined
}

/** A request as its proof must name it, and the object that stands for it. */
export type PresentingRequest = Omit<DpopPresentation, 'proof'>

/** The headers of a request that present a token, as they came. */
export interface PresentationHeaders {
  readonly authorization?: string | undefined
  readonly dpop?: string | string[] | undefined
}

/**
 * The token of a request, and the proof that goes with it.
 *
 * @param request asked for a DPoP token alone
 * @throws `token_missing` if there is no `Authorization` or it is of another scheme;
 *   `token_malformed` if anything but one credential follows the scheme
 */
export function presentedToken(
  { authorization, dpop }: PresentationHeaders,
  request: () => PresentingRequest,
): PresentedToken {
  const scheme = authorizationScheme(authorization)
  if (authorization === undefined || scheme === null) throw new GatepassError('token_missing')
  const token = authorization.slice(scheme.length + 1)
  if (token === '' || token.includes(' ')) throw new GatepassError('token_malformed')
  if (scheme === 'Bearer') return { token, dpop: undefined }
  // Node joins a header that came twice by a comma, which no proof has in it.
  return { token, dpop: { proof: dpop === undefined ? undefined : String(dpop), ...request() } }
}

/** The scheme of an `Authorization` header, whatever its case; null if it is none of ours. */
export function authorizationScheme(authorization: string | undefined): TokenScheme | null {
  if (authorization === undefined) return null
  if (authorization.startsWith('Bearer ')) return 'Bearer'
  const end = authorization.indexOf(' ')
  const given = (end === -1 ? authorization : authorization.slice(0, end)).toLowerCase()
  return given === 'bearer' ? 'Bearer' : given === 'dpop' ? 'DPoP' : null
}
