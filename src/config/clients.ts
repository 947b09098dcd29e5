import * as z from 'zod'
import {
  authMethods,
  grantTypes,
  isConfidential,
  mayUse,
  scopeNames,
  signInClientId,
  tokenExchange,
} from '../issuer/clients.ts'
import { isSecretHash, maxSecretHashes } from '../oauth/client-secret.ts'
import { importVerificationKey } from '../tokens/verification-key.ts'
import {
  audienceName,
  hasCredentials,
  isRemoteHttp,
  jwk,
  redirectUri,
  uniqueList,
} from './validators.ts'

/** Claims that Gatepass makes itself. An account attribute never replaces them. */
const reservedClaims = new Set(
  'iss sub aud exp nbf iat jti client_id scope sid auth_time amr acr cnf act'.split(' '),
)

// RFC 6749 §3.3: printable ASCII without space, quote and backslash.
const scopeName = z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,64}$/, 'is not a scope name')
const claimName = z
  .string()
  .min(1)
  .max(64)
  .refine((name) => !reservedClaims.has(name), 'is a claim that Gatepass makes itself')

const keySet = z.strictObject({
  keys: z.array(jwk(importVerificationKey)).min(1).max(8),
})

/** An address that the issuer calls. */
const clientAddress = z.string().refine((text) => {
  const url = URL.parse(text)
  if (url === null || hasCredentials(url) || /[#\s]/.test(text)) return false
  return /^https?:$/.test(url.protocol) && !isRemoteHttp(url)
}, 'must be an https URL, or http on this machine')

const clientFields = z.strictObject({
  client_id: z.string().regex(/^[\w.-]{1,64}$/, 'must be 1 to 64 letters, digits, . _ or -'),
  audience: z.union([audienceName, z.array(audienceName).min(1).max(8)]).optional(),
  scopes: z.record(scopeName, z.array(claimName)),
  default_scope: z.string().optional(),
  dpop: z.enum(['optional', 'required']).optional(),
  grants: z.array(z.enum(grantTypes)).min(1).max(grantTypes.length).optional(),
  auth_method: z.enum(authMethods).optional(),
  secret_hashes: z
    .array(z.string().refine(isSecretHash, 'must be a hash of `gatepass clients secret`'))
    .min(1)
    .max(maxSecretHashes)
    .optional(),
  jwks: keySet.optional(),
  jwks_uri: clientAddress.optional(),
  redirect_uris: z.array(redirectUri).min(1).max(32).optional(),
  post_logout_redirect_uris: z.array(redirectUri).min(1).max(32).optional(),
  exchange_audiences: z.array(audienceName).min(1).max(32).optional(),
  backchannel_logout_uri: clientAddress.optional(),
  client_name: z.string().min(1).max(64).optional(),
  third_party: z.boolean().optional(),
  require_pushed_authorization_requests: z.boolean().optional(),
})

export type ClientSettings = z.infer<typeof clientFields>

/** The schema of `Client` in src/issuer/clients.ts, which documents each field. */
export const clientSchema = clientFields.superRefine((client, context) => {
  for (const [field, message] of contradictions(client)) {
    context.addIssue({ code: 'custom', path: [field], message })
  }
})

export const clientsSchema = uniqueList(
  z.array(clientSchema).min(1, 'must not be empty').max(1000),
  'client_id',
)

/** Lists the fields of a client that contradict other fields, and why. */
function contradictions(client: ClientSettings): [field: string, problem: string][] {
  const { auth_method = 'none', secret_hashes, jwks, jwks_uri } = client
  const hasSecret = auth_method === 'client_secret_basic' || auth_method === 'client_secret_post'
  const hasKeys = auth_method === 'private_key_jwt'
  const hasCodes = mayUse(client, 'authorization_code')
  const exchanges = mayUse(client, tokenExchange)
  const isReserved = client.client_id === signInClientId
  const kids = jwks?.keys.map(({ kid }) => kid) ?? []
  const unknown = scopeNames(client.default_scope ?? '').filter(
    (scope) => !Object.hasOwn(client.scopes, scope),
  )
  const rules: readonly (readonly [keyof ClientSettings, boolean, string])[] = [
    ['client_id', isReserved, 'is the name of the pages of the issuer'],
    ['secret_hashes', hasSecret && !secret_hashes, `is required with ${auth_method}`],
    ['secret_hashes', !hasSecret && !!secret_hashes, 'needs client_secret_basic or _post'],
    ['jwks', hasKeys && !jwks && !jwks_uri, 'or jwks_uri is required with private_key_jwt'],
    ['jwks', !hasKeys && !!jwks, 'needs the auth_method private_key_jwt'],
    ['jwks_uri', !hasKeys && !!jwks_uri, 'needs the auth_method private_key_jwt'],
    ['jwks_uri', !!jwks && !!jwks_uri, 'must not be set beside jwks'],
    ['jwks', new Set(kids).size < kids.length, 'has a kid twice'],
    [
      'auth_method',
      !isConfidential(client) && (mayUse(client, 'client_credentials') || exchanges),
      'must not be none with client_credentials or token exchange',
    ],
    ['redirect_uris', hasCodes && !client.redirect_uris, 'is required with authorization_code'],
    ['redirect_uris', !hasCodes && !!client.redirect_uris, 'needs the grant authorization_code'],
    [
      'backchannel_logout_uri',
      !hasCodes && !!client.backchannel_logout_uri,
      'needs the grant authorization_code',
    ],
    [
      'exchange_audiences',
      exchanges && !client.exchange_audiences,
      'is required with token exchange',
    ],
    [
      'exchange_audiences',
      !exchanges && !!client.exchange_audiences,
      `needs the grant ${tokenExchange}`,
    ],
    [
      'default_scope',
      unknown.length > 0,
      `names scopes that the client does not have: ${unknown.join(' ')}`,
    ],
  ]
  return rules.filter(([, isWrong]) => isWrong).map(([field, , problem]) => [field, problem])
}

const defaultScopes = {
  scopes: { profile: ['name', 'email', 'roles'], 'data:read': [], 'data:write': [] },
  default_scope: 'data:read data:write',
}

/** The client of the command line in an installation without configured clients. */
export const commandLineClientId = 'gatepass-cli'

/**
 * The clients of an installation without configured clients. Users are asked for consent to
 * `gatepass login`, because any program on the machine can use its name (RFC 8252 §8.6).
 */
export const defaultClients: ClientSettings[] = [
  { client_id: 'default', ...defaultScopes },
  {
    client_id: commandLineClientId,
    client_name: 'the command line of Gatepass',
    grants: ['authorization_code', 'refresh_token'],
    redirect_uris: ['http://127.0.0.1/callback'],
    third_party: true,
    ...defaultScopes,
  },
]
