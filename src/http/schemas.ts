import { z } from 'zod'
import { errorCodes } from '../core/errors.ts'
import { maxValueBytes } from '../data/owned-fields.ts'
import type { RefreshedTokens } from '../issuer/refresh.ts'
import type { TokenSet } from '../issuer/token-minter.ts'

/**
 * What goes over the wire. The same schemas check requests, type handlers, and make the OpenAPI
 * document. Fields that are not named here are refused (422), so that a misspelled one is noticed.
 */

/** Passwords have their own rule in bytes; this only bounds what is read. */
const passwordLengthMax = 1024
const refreshTokenLengthMax = 256

export const loginBody = z.strictObject({
  username: z.string().min(1).max(254).meta({ description: 'The login name.' }),
  password: z.string().min(1).max(passwordLengthMax),
  scope: z.string().max(1024).optional().meta({
    description: 'Space separated (RFC 6749 §3.3). Without it the default of the client.',
  }),
  client_id: z
    .string()
    .min(1)
    .max(64)
    .optional()
    .meta({ description: 'The configured client; without it the first one.' }),
  refresh_token_in: z
    .enum(['cookie', 'body'])
    .default('cookie')
    .meta({ description: 'How the refresh token is handed over.' }),
})

const refreshToken = z.string().min(1).max(refreshTokenLengthMax)

export const refreshBody = z
  .strictObject({ refresh_token: refreshToken.optional() })
  .nullish()
  .meta({ description: 'Left out when the refresh token comes as a cookie.' })

export type RefreshBody = z.infer<typeof refreshBody>

const dpopHeader = z.string().optional().meta({
  description: 'A proof of possession of a key, which the tokens are bound to (RFC 9449 §5).',
})

export const loginHeaders = z.looseObject({ dpop: dpopHeader })

export const refreshHeaders = z.looseObject({
  'idempotency-key': z.string().min(1).max(255).optional().meta({
    description:
      'One for each refresh attempt, kept over its retries: a lost answer can then be asked for again, however late.',
  }),
  dpop: dpopHeader,
})

export const tokenResponse = z
  .object({
    access_token: z.string(),
    token_type: z.enum(['Bearer', 'DPoP']).meta({
      description: '`DPoP` when the access token is bound to a key (RFC 9449 §5).',
    }),
    expires_in: z.int().meta({ description: 'Seconds.' }),
    scope: z.string(),
    session_id: z.string(),
    refresh_token: z.string().optional(),
    refresh_token_expires_in: z.int().optional().meta({ description: 'Seconds.' }),
  })
  .meta({ id: 'TokenResponse', description: 'In the form of RFC 6749 §5.1.' })

export type TokenResponse = z.infer<typeof tokenResponse>

const instant = z.iso.datetime()

export const sessionList = z
  .object({
    sessions: z.array(
      z.object({
        session_id: z.string(),
        client_id: z.string(),
        scope: z.string(),
        user_agent: z.string(),
        created_at: instant,
        last_used_at: instant,
        expires_at: instant,
        current: z.boolean().meta({ description: 'Whether it is the session of this request.' }),
      }),
    ),
  })
  .meta({ id: 'SessionList' })

export const sessionParams = z.object({ id: z.string().min(1).max(64) })

export const me = z
  .object({
    sub: z.string(),
    username: z.string(),
    attributes: z.record(z.string(), z.unknown()),
    created_at: instant,
  })
  .meta({ id: 'Me' })

export const noContent = z.undefined().meta({ description: 'Done; there is nothing to say.' })

export const notModified = z.undefined().meta({ description: 'The copy at hand is current.' })

/** RFC 7517 §5. */
export const jwks = z
  .object({ keys: z.array(z.looseObject({ kty: z.string(), kid: z.string(), alg: z.string() })) })
  .meta({ id: 'JsonWebKeySet' })

/** RFC 8414 §2. */
export const serverMetadata = z
  .looseObject({ issuer: z.string(), jwks_uri: z.string() })
  .meta({ id: 'AuthorizationServerMetadata' })

export const snapshot = z.string().meta({
  description: 'A JWS of type `gatepass-revocations+jwt`; its payload lists what was revoked.',
})

export const revocationStream = z.string().meta({
  description:
    '`text/event-stream`. Each `revocation` event is a security event token (RFC 8417) in the form of CAEP `session-revoked`.',
})

export const claims = z
  .looseObject({ iss: z.string(), sub: z.string(), exp: z.int() })
  .meta({ id: 'AccessTokenClaims', description: 'The claims of RFC 9068 §2.2.' })

export const verifyQuery = z.looseObject({
  scope: z
    .string()
    .max(1024)
    .optional()
    .meta({ description: 'Scopes that the token must have, space separated.' }),
})

export const verified = z.undefined().meta({
  description:
    'The token is good. `X-Auth-Subject`, `X-Auth-Session`, `X-Auth-Scope` and `X-Auth-Client` tell whose it is.',
})

/** RFC 9457. */
export const problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.enum(Object.keys(errorCodes) as [string, ...string[]]),
    detail: z.string().optional(),
    errors: z.array(z.object({ pointer: z.string(), detail: z.string() })).optional(),
    request_id: z.string().optional(),
  })
  .meta({ id: 'Problem', description: 'What went wrong (RFC 9457); `code` is stable.' })

/** What goes over the wire of `/data`, as in schemas.ts. */

const scope = z.enum(['session', 'user']).meta({
  description: '`session` ends with the session of the token; `user` outlives it.',
})
const field = z.string().meta({ description: 'Up to 64 letters, digits, `-` and `_`.' })
const jsonValue = z.unknown()

export const scopeParams = z.object({ scope })
export const fieldParams = z.object({ scope, field })

export const readHeaders = z.looseObject({
  'if-none-match': z.string().max(1024).optional().meta({
    description: 'The `ETag` of the copy at hand; 304 says that it is current.',
  }),
})

export const changeHeaders = z.looseObject({
  'if-match': z.string().max(256).optional().meta({
    description: 'The `ETag` that the field must have, or `*` for any.',
  }),
  'if-none-match': z.string().max(256).optional().meta({
    description: '`*`: there must be no such field.',
  }),
})

export const fieldValue = jsonValue.meta({
  id: 'DataValue',
  description: `Any JSON value, up to ${maxValueBytes / 1024} KiB.`,
})

export const fieldList = z
  .object({
    fields: z.record(z.string(), z.object({ value: jsonValue, etag: z.string() })),
  })
  .meta({ id: 'DataFields', description: 'Each field by its name.' })

export const created = z.undefined().meta({ description: 'There was no such field before.' })
export const changed = z.undefined().meta({ description: 'The field has the new value.' })
export const absent = z.undefined().meta({ description: 'There is no such field any more.' })

/** How a refresh token comes and goes. */
export type TokenPlace = 'cookie' | 'body'

/** The body of the answer to a login or a refresh. */
export function tokenResponseOf(tokens: TokenSet, by: TokenPlace): TokenResponse {
  return {
    access_token: tokens.accessToken,
    token_type: tokens.tokenType,
    expires_in: tokens.expiresInSeconds,
    scope: tokens.scope,
    session_id: tokens.sessionId,
    ...(by === 'body' && {
      refresh_token: tokens.refreshToken,
      refresh_token_expires_in: tokens.refreshExpiresInSeconds,
    }),
  }
}

/** Whether the refresh token goes into a cookie. */
export function isSetAsCookie(tokens: TokenSet & Partial<RefreshedTokens>, by: TokenPlace) {
  return by === 'cookie' && (tokens.setsCookie ?? true)
}
