import type { RefreshedTokens } from '../issuer/refresh.ts'
import type { TokenSet } from '../issuer/tokens.ts'
import type { TokenResponse } from './schemas.ts'

/** How a refresh token comes and goes. */
export type TokenPlace = 'cookie' | 'body'

/** The body of the answer to a login or a refresh. */
export function tokenResponseOf(tokens: TokenSet, by: TokenPlace): TokenResponse {
  return {
    access_token: tokens.accessToken,
    token_type: tokens.tokenType,
    expires_in: tokens.expiresIn_s,
    scope: tokens.scope,
    session_id: tokens.sessionId,
    ...(by === 'body' && {
      refresh_token: tokens.refreshToken,
      refresh_token_expires_in: tokens.refreshExpiresIn_s,
    }),
  }
}

/** Whether the refresh token goes into a cookie. */
export function isSetAsCookie(tokens: TokenSet & Partial<RefreshedTokens>, by: TokenPlace) {
  return by === 'cookie' && (tokens.setsCookie ?? true)
}
