import * as z from 'zod'
import { errorCodes } from '../core/errors.ts'
import { maxValueBytes } from '../data/owned-fields.ts'

/*
 * The schemas of requests and responses. They validate requests, type the handlers and generate the
 * OpenAPI document. Unknown fields are refused (422), so that a misspelled field is noticed.
 */

/** The security schemes that routes refer to. */
export const bearer = [{ bearer: [] }, { dpop: [] }]
/** The credentials of a client: in `Authorization`, or among the parameters. */
export const clientAuthentication = [{ client: [] }, {}]

/** An upper bound. `checkPassword` has the rule, in bytes. */
const maxPasswordLength = 1024
const maxRefreshTokenLength = 256

const resource = z.string().min(1).max(256).meta({
  description: 'One of the audiences of the client (RFC 8707). Default: all of them.',
})

export const loginBody = z.strictObject({
  username: z.string().min(1).max(254).meta({ description: 'The login name.' }),
  password: z.string().min(1).max(maxPasswordLength),
  scope: z.string().max(1024).optional().meta({
    description: 'Space-separated (RFC 6749 §3.3). Default: the default scope of the client.',
  }),
  client_id: z.string().min(1).max(64).optional().meta({
    description: 'A configured client. Default: the first one with the grant `password`.',
  }),
  resource: resource.optional(),
  refresh_token_in: z
    .enum(['cookie', 'body'])
    .default('cookie')
    .meta({ description: 'How the client receives the refresh token.' }),
})

const refreshToken = z.string().min(1).max(maxRefreshTokenLength)

const ownToken = z.strictObject({ refresh_token: refreshToken.optional() })
const whenCookie = { description: 'Left out when the refresh token comes as a cookie.' }

export const refreshBody = ownToken
  .extend({ resource: resource.optional() })
  .nullish()
  .meta(whenCookie)

export type RefreshBody = z.infer<typeof refreshBody>

export const logoutBody = ownToken.nullish().meta(whenCookie)

const dpopHeader = z.string().optional().meta({
  description: 'A DPoP proof (RFC 9449 §5). The tokens are bound to its key.',
})

export const loginHeaders = z.object({ dpop: dpopHeader })

export const refreshHeaders = z.object({
  'idempotency-key': z.string().min(1).max(255).optional().meta({
    description:
      'One per refresh attempt, the same for its retries. A retry returns a lost response, however late.',
  }),
  dpop: dpopHeader,
})

export const tokenResponse = z
  .object({
    access_token: z.string(),
    token_type: z.enum(['Bearer', 'DPoP']).meta({
      description: '`DPoP` if the access token is bound to a key (RFC 9449 §5).',
    }),
    expires_in: z.int().meta({ description: 'Seconds.' }),
    scope: z.string(),
    session_id: z.string(),
    refresh_token: z.string().optional(),
    refresh_token_expires_in: z.int().optional().meta({ description: 'Seconds.' }),
  })
  .meta({ id: 'TokenResponse', description: 'The token response of RFC 6749 §5.1.' })

const text = z.string()

/** Fields of every form: the client and its credentials (RFC 6749 §2.3, RFC 7523 §2.2). */
const clientParameters = {
  client_id: text.optional(),
  client_secret: text.optional(),
  client_assertion_type: text.optional(),
  client_assertion: text.optional().meta({ description: 'A JWT signed by the client.' }),
}

/** RFC 6749 §4 and §6, RFC 7636, RFC 8693 §2.1, RFC 8707. Other parameters are ignored. */
export const tokenForm = z
  .looseObject({
    grant_type: text.meta({
      description:
        '`client_credentials`, `refresh_token`, `authorization_code`, or token exchange.',
    }),
    scope: text.optional(),
    resource: text.optional(),
    refresh_token: text.optional(),
    code: text.optional(),
    code_verifier: text.optional(),
    redirect_uri: text.optional(),
    subject_token: text.optional(),
    subject_token_type: text.optional(),
    requested_token_type: text.optional(),
    audience: text.optional(),
    ...clientParameters,
  })
  .meta({ id: 'TokenRequest' })

/** RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.1. Most other parameters are ignored. */
const authorizationParameters = {
  response_type: text.optional().meta({ description: '`code`. Required.' }),
  redirect_uri: text.optional().meta({ description: 'Exactly as registered. Required.' }),
  code_challenge: text.optional().meta({ description: 'By `S256` (RFC 7636). Required.' }),
  code_challenge_method: text.optional().meta({ description: '`S256`. Required.' }),
  scope: text.optional(),
  state: text.optional(),
  nonce: text.optional(),
  resource: text.optional(),
  prompt: text.optional(),
  max_age: text.optional(),
  login_hint: text.optional(),
  id_token_hint: text.optional(),
  ui_locales: text.optional(),
  dpop_jkt: text.optional(),
}

export const authorizationQuery = z.looseObject({
  client_id: text.meta({ description: 'A client with the grant `authorization_code`.' }),
  request_uri: text.optional().meta({ description: 'From `/oauth/par`. Replaces all others.' }),
  ...authorizationParameters,
})

/** RFC 9126 §2.1. */
export const pushedRequestForm = z
  .looseObject({ ...authorizationParameters, ...clientParameters })
  .required({
    response_type: true,
    redirect_uri: true,
    code_challenge: true,
    code_challenge_method: true,
  })
  .meta({ id: 'PushedAuthorizationRequest' })

/** OpenID Connect RP-Initiated Logout §2. */
export const endSessionQuery = z.looseObject({
  id_token_hint: text.optional(),
  client_id: text.optional(),
  post_logout_redirect_uri: text.optional(),
  state: text.optional(),
  ui_locales: text.optional(),
})

/** RFC 9126 §2.2. */
export const pushedRequestResponse = z
  .object({ request_uri: text, expires_in: z.int().meta({ description: 'Seconds.' }) })
  .meta({ id: 'PushedAuthorizationResponse', description: 'The stored request (RFC 9126 §2.2).' })

/** OpenID Connect Core §5.3.2. */
export const userInfo = z
  .looseObject({ sub: text })
  .meta({ id: 'UserInfo', description: 'The claims that the scopes of the token select.' })

/** A revocation (RFC 7009 §2.1) or an introspection (RFC 7662 §2.1). */
export const issuedTokenForm = z.looseObject({
  token: text.meta({ description: 'An access token or a refresh token.' }),
  token_type_hint: text.optional(),
  ...clientParameters,
})

export const oauthTokenResponse = tokenResponse
  .partial({ session_id: true })
  .extend({ issued_token_type: text.optional(), id_token: text.optional() })
  .meta({ id: 'OAuthTokenResponse', description: 'RFC 6749 §5.1, RFC 8693 §2.2.1.' })

export const revoked = z
  .object({})
  .meta({ description: 'The session has ended, or there was none (RFC 7009 §2.2).' })

export const introspectionResponse = z
  .looseObject({ active: z.boolean() })
  .meta({ id: 'Introspection', description: 'The claims of the token (RFC 7662 §2.2).' })

/** RFC 6749 §5.2. */
export const oauthError = z
  .object({ error: text, error_description: text.optional() })
  .meta({ id: 'OAuthError', description: 'An error (RFC 6749 §5.2).' })

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
        current: z
          .boolean()
          .meta({ description: 'Whether the session is the one of this request.' }),
      }),
    ),
  })
  .meta({ id: 'SessionList' })

export const sessionParams = z.object({ id: z.string().min(1).max(64) })

export const consentList = z
  .object({
    consents: z.array(
      z.object({
        client_id: z.string(),
        client_name: z.string(),
        scope: z.string().meta({ description: '`openid` is the sign-in itself.' }),
      }),
    ),
  })
  .meta({ id: 'ConsentList' })

export const consentParams = z.object({ client_id: z.string().min(1).max(64) })

export const me = z
  .object({
    sub: z.string(),
    username: z.string(),
    attributes: z.record(z.string(), z.unknown()),
    created_at: instant,
  })
  .meta({ id: 'Me' })

export const noContent = z.undefined().meta({ description: 'Done. The response has no body.' })

export const notModified = z
  .undefined()
  .meta({ description: 'The client has the current version.' })

/** RFC 7517 §5. */
export const jwks = z
  .object({ keys: z.array(z.looseObject({ kty: z.string(), kid: z.string(), alg: z.string() })) })
  .meta({ id: 'JsonWebKeySet' })

/** RFC 8414 §2. */
export const serverMetadata = z
  .looseObject({ issuer: z.string(), jwks_uri: z.string() })
  .meta({ id: 'AuthorizationServerMetadata' })

export const snapshot = z.string().meta({
  description: 'A JWS of type `gatepass-revocations+jwt`. Its payload lists the revocations.',
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
    .meta({ description: 'Scopes that the token must have, space-separated.' }),
})

export const verified = z.undefined().meta({
  description:
    'The token is valid. `X-Auth-Subject`, `X-Auth-Session`, `X-Auth-Scope` and `X-Auth-Client` describe it.',
})

const page = z.string().meta({ description: 'A page for the user.' })
const redirect = z.undefined().meta({ description: 'Redirects the browser to `Location`.' })
/** The responses of a route for browsers. */
export const pageResponses = { 200: page, 303: redirect, default: page }

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
  .meta({ id: 'Problem', description: 'An error (RFC 9457). `code` is stable.' })

/** The fields of `/data`. */

const scope = z.enum(['session', 'user']).meta({
  description: '`session`: deleted with the session of the token. `user`: outlives the session.',
})
const field = z.string().meta({ description: 'Up to 64 letters, digits, `-` and `_`.' })
const jsonValue = z.unknown()

export const scopeParams = z.object({ scope })
export const fieldParams = z.object({ scope, field })

export const readHeaders = z.object({
  'if-match': z.string().max(1024).optional().meta({
    description: 'The `ETag`s of which the field must have one, or `*` for any.',
  }),
  'if-none-match': z.string().max(1024).optional().meta({
    description: 'The `ETag` of the version that the client has.',
  }),
})

export const changeHeaders = z.object({
  'if-match': z.string().max(256).optional().meta({
    description: 'The `ETag` that the field must have, or `*` for any.',
  }),
  'if-none-match': z.string().max(256).optional().meta({
    description: '`*`: the field must not exist.',
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
  .meta({ id: 'DataFields', description: 'The fields by name.' })

export const created = z.undefined().meta({ description: 'The field was created.' })
export const changed = z.undefined().meta({ description: 'The field was changed.' })
export const absent = z.undefined().meta({ description: 'The field was removed.' })
