import { randomUUID } from 'node:crypto'
import { SignJWT } from 'jose'
import type { Test } from 'tap'
import type { Client } from '../../src/issuer/clients.ts'
import { createClientSecret } from '../../src/oauth/client-secret.ts'
import { makeProofKey } from './dpop.ts'
import {
  audience,
  issuerUrl,
  startIssuer,
  type TestIssuer,
  type TestIssuerOptions,
  webClient,
} from './issuer.ts'

export const exchangeGrant = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const accessTokenUrn = 'urn:ietf:params:oauth:token-type:access_token'
export const assertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
export const reports = 'https://reports.example.com'
export const redirectUri = 'https://app.example.com/cb'

export const [first, second] = [createClientSecret(), createClientSecret()]

const key = await makeProofKey()
export const clientKey = { ...key, jwk: { ...key.publicJwk, kid: 'client-1', alg: key.alg } }

/** The scopes of each client. */
const scopes = { profile: ['name'], 'data:read': [], 'data:write': [] }

/** One client of each kind. */
export const clients: readonly [Client, ...Client[]] = [
  webClient,
  {
    client_id: 'billing',
    auth_method: 'client_secret_basic',
    secret_hashes: [first.hash],
    grants: ['client_credentials', exchangeGrant],
    audience: [audience, reports],
    exchange_audiences: [reports],
    scopes,
    default_scope: 'data:read',
  },
  {
    client_id: 'rotating',
    auth_method: 'client_secret_post',
    secret_hashes: [second.hash, first.hash],
    grants: ['client_credentials'],
    scopes,
  },
  {
    client_id: 'signing',
    auth_method: 'private_key_jwt',
    jwks: { keys: [clientKey.jwk] },
    grants: ['client_credentials', exchangeGrant],
    exchange_audiences: [audience],
    scopes,
  },
  {
    client_id: 'backend',
    auth_method: 'client_secret_basic',
    secret_hashes: [second.hash],
    grants: ['password', 'refresh_token', 'authorization_code'],
    redirect_uris: [redirectUri],
    scopes,
  },
  {
    client_id: 'spa',
    grants: ['authorization_code', 'refresh_token'],
    redirect_uris: [redirectUri],
    audience: [audience, reports],
    scopes,
  },
]

export function basic(clientId: string, secret: string) {
  const text = [clientId, secret].map(encodeURIComponent).join(':')
  return { authorization: `Basic ${Buffer.from(text).toString('base64')}` }
}

export const billing = basic('billing', first.secret)
export const backend = basic('backend', second.secret)

type Fields = Readonly<Record<string, string>>

export interface OAuthAnswer {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: an answer of any route
  readonly body: any
  readonly headers: Readonly<Record<string, unknown>>
}

/** Sends a form within this process. A string is sent unchanged. */
async function postForm(
  { call }: Pick<TestIssuer, 'call'>,
  url: string,
  fields: Fields | string,
  headers: Fields = {},
): Promise<OAuthAnswer> {
  const response = await call({
    method: 'POST',
    url,
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    payload: typeof fields === 'string' ? fields : new URLSearchParams(fields).toString(),
  })
  const { statusCode: status, payload } = response
  return { status, headers: response.headers, body: payload === '' ? null : response.json() }
}

/** Starts an issuer with these clients and returns its OAuth calls. */
export async function startOAuth(t: Test, options: TestIssuerOptions = {}) {
  const issuer = await startIssuer(t, { clients, ...options })
  const post = (url: string) => (fields: Fields | string, headers?: Fields) =>
    postForm(issuer, url, fields, headers)
  return {
    ...issuer,
    post,
    token: post('/oauth/token'),
    revoke: post('/oauth/revoke'),
    introspect: post('/oauth/introspect'),
    exchange: (subject_token: string, fields: Fields = {}, headers: Fields = billing) =>
      postForm(
        issuer,
        '/oauth/token',
        {
          grant_type: exchangeGrant,
          subject_token,
          subject_token_type: accessTokenUrn,
          audience: reports,
          ...fields,
        },
        headers,
      ),
  }
}

export interface AssertionParts {
  readonly claims?: Readonly<Record<string, unknown>>
  readonly header?: Readonly<Record<string, unknown>>
  /** The signing key. Default: the key of the client. */
  readonly key?: Parameters<SignJWT['sign']>[0]
}

/** Creates a client assertion (RFC 7523 §3). */
export function makeAssertion(nowSeconds: number, parts: AssertionParts = {}): Promise<string> {
  const claims = {
    iss: 'signing',
    sub: 'signing',
    aud: issuerUrl,
    exp: nowSeconds + 60,
    iat: nowSeconds,
    jti: randomUUID(),
    ...parts.claims,
  }
  return new SignJWT(claims)
    .setProtectedHeader({ alg: clientKey.alg, kid: 'client-1', ...parts.header })
    .sign(parts.key ?? clientKey.privateKey)
}
