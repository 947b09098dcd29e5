import { GatepassError } from '../core/errors.ts'
import { isJsonObject } from '../tokens/strict-decoding.ts'
import { usableAlgorithms } from '../tokens/verification-key.ts'
import { isName } from './claims.ts'
import { checkVerifier, isScopeList } from './guard.ts'
import { isWebAddress } from './http-client.ts'
import type { Verifier } from './verifier.ts'

/** A protected resource, as its metadata describes it to clients (RFC 9728 §2). */
export interface ProtectedResource {
  /**
   * The resource identifier: the public address of the API, such as `https://api.example.com/orders`. Usually
   * the audience of its tokens too.
   */
  readonly resource: string
  /** Issuers that clients may ask for tokens. Default: the issuers of the verifier. */
  readonly authorizationServers?: readonly string[]
  /** Scopes that clients may ask for. */
  readonly scopes?: readonly string[]
  /** Name of the resource, for people. */
  readonly name?: string
  /** Address of a page for developers. */
  readonly documentation?: string
}

/** An option of every adapter. */
export interface ResourceOption {
  /**
   * The protected resource (RFC 9728), or its identifier alone. Challenges then have `resource_metadata`,
   * by which a client finds the issuer.
   */
  readonly resource?: string | ProtectedResource
}

/** The metadata of a protected resource, ready to be sent. */
export interface ResourceMetadata {
  readonly url: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** Tells whether a request asks for the metadata. */
  isFor(method: string | undefined, path: string): boolean
}

const wellKnownPath = '/.well-known/oauth-protected-resource'

const headers = {
  'content-type': 'application/json',
  'cache-control': 'public, max-age=300',
  // The metadata is public, and clients on other sites must be able to read it.
  'access-control-allow-origin': '*',
} as const

/** @throws `config_invalid` */
export function createResourceMetadata(
  verifier: Verifier,
  given: string | ProtectedResource,
): ResourceMetadata {
  checkVerifier(verifier)
  const resource = readResource(typeof given === 'string' ? { resource: given } : given)
  const servers = resource.authorizationServers ?? issuersOf(verifier)
  if (servers.length === 0) throw invalid('it needs authorizationServers')
  const { origin, pathname } = new URL(resource.resource)
  // RFC 9728 §3.1: the path of the resource follows the well-known path.
  const path = wellKnownPath + (pathname === '/' ? '' : pathname)
  const body = JSON.stringify({
    resource: resource.resource,
    authorization_servers: servers,
    scopes_supported: resource.scopes,
    bearer_methods_supported: ['header'],
    dpop_signing_alg_values_supported: usableAlgorithms,
    resource_name: resource.name,
    resource_documentation: resource.documentation,
  })
  return {
    url: origin + path,
    path,
    headers,
    body,
    isFor: (method, asked) => (method === 'GET' || method === 'HEAD') && asked === path,
  }
}

/** Lists the issuers that have metadata of their own. */
function issuersOf(verifier: Verifier): string[] {
  return verifier.status().issuers.flatMap(({ issuer }) => (isWebAddress(issuer) ? [issuer] : []))
}

type Member = keyof ProtectedResource

const isListOf = (isOne: (value: unknown) => boolean) => (value: unknown) =>
  Array.isArray(value) && value.length > 0 && value.every(isOne)

const isAcceptable: { readonly [name in Member]: (value: unknown) => boolean } = {
  resource: isResourceId,
  authorizationServers: isListOf(isWebAddress),
  scopes: isListOf((scope) => isName(scope) && isScopeList(scope) && !scope.includes(' ')),
  name: isName,
  documentation: isWebAddress,
}

/** Tells whether a value is a resource identifier (RFC 9728 §1.2) that every framework can route. */
function isResourceId(value: unknown): boolean {
  if (!isWebAddress(value)) return false
  const { origin, pathname, href } = new URL(value)
  const isNormal = value === href || value === origin
  return isNormal && href === origin + pathname && /^[\w.~/-]*$/.test(pathname)
}

function readResource(given: unknown): ProtectedResource {
  if (!isJsonObject(given)) throw invalid('it must be an address, or { resource, … }')
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(isAcceptable, name)) throw invalid(`there is no member ${name}`)
    if (value !== undefined && !isAcceptable[name as Member](value)) {
      throw invalid(`its ${name} is not acceptable`)
    }
  }
  if (given.resource === undefined) throw invalid('its resource is missing')
  return given as unknown as ProtectedResource
}

function invalid(problem: string): GatepassError {
  return new GatepassError('config_invalid', {
    detail:
      `The protected resource: ${problem}. Its identifier is a normalized https address without query ` +
      'and fragment, with letters, digits and ._~- in its path.',
  })
}
