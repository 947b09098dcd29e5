import cookiePlugin from '@fastify/cookie'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { type Audit, createAudit } from '../issuer/audit.ts'
import type { DpopNonces } from '../issuer/dpop-nonces.ts'
import type { Issuer } from '../issuer/issuer.ts'
import type { KeyManager } from '../keys/key-manager.ts'
import type { AuthorizationServer } from '../oauth/authorization-server.ts'
import type { DpopProofs } from '../verifier/dpop/dpop-proofs.ts'
import { type TargetOf, targetBelow } from '../verifier/dpop/target-uri.ts'
import { gatepassAuth } from '../verifier/fastify.ts'
import { createKeysInMemory, type KeySource, readKeySet } from '../verifier/keys/key-source.ts'
import type { Verifier } from '../verifier/verifier.ts'
import {
  collectRoutes,
  createApp,
  refuseOtherMethods,
  type ServiceOptions,
  serveOpenApi,
} from './app.ts'
import { BrowserCookie, HostCookie, LenientCookie } from './cookies.ts'
import { allowAnyPage, allowOrigins, answerRefusedPreflights, OriginGuard } from './cross-origin.ts'
import { throwRefusal } from './error-handler.ts'
import { accountRoutes } from './routes/account.ts'
import {
  oauthRoutes,
  pushedRequestUrl,
  revocationUrl,
  tokenUrl,
  userInfoRoutes,
  userInfoUrl,
} from './routes/oauth.ts'
import { pageRoutes, pageUrls } from './routes/oauth-pages.ts'
import { revocationRoutes } from './routes/revocations.ts'
import { loginUrl, signInRoutes } from './routes/sign-in.ts'
import { metadataUrls, wellKnownRoutes } from './routes/well-known.ts'

/** How the front ends of the users reach the issuer. */
export interface FrontEndOptions {
  /** Whether cookies are sent over TLS only. */
  readonly cookieSecure: boolean
  /** Suffix of the cookie names. Default: none. */
  readonly cookieSuffix?: string
  /** Origins of front ends besides the origin of the issuer itself. */
  readonly allowedOrigins: readonly string[]
}

export interface IssuerAppHooks {
  /** Receives the audit events of requests, besides the log. */
  readonly onAudit?: Audit
  /** Registers further routes. */
  readonly routes?: readonly IssuerRoutes[]
}

export interface IssuerAppOptions {
  readonly service: ServiceOptions
  readonly issuer: Issuer
  readonly oauth: AuthorizationServer
  /** Publishes the JWKS. */
  readonly keys: Pick<KeyManager, 'jwks' | 'publicKeys'>
  /** Verifies the issuer's own access tokens. */
  readonly verifier: Verifier
  /** Checks the DPoP proofs of logins and refreshes. */
  readonly proofs: DpopProofs
  /** Nonces for DPoP proofs; undefined if proofs need none. */
  readonly nonces?: Pick<DpopNonces, 'current'> | undefined
  readonly frontEnd: FrontEndOptions
  readonly hooks?: IssuerAppHooks
}

/** The parts that the routes of the issuer share. */
export interface IssuerContext
  extends Pick<IssuerAppOptions, 'issuer' | 'oauth' | 'keys' | 'verifier'> {
  /** Holds the refresh token. */
  readonly refreshCookie: HostCookie
  /** Recognizes a device long after its sessions have ended. */
  readonly deviceCookie: HostCookie
  /** The sign-in at the issuer. Browsers send it when an application redirects to the issuer. */
  readonly signInCookie: HostCookie
  readonly browserCookie: BrowserCookie
  readonly origins: OriginGuard
  /** Returns the method and the public URI of a request, which its DPoP proof names. */
  readonly targetOf: TargetOf
  /**
   * Returns the thumbprint of the key that the DPoP proof of a request proves; undefined without a
   * proof. A proof counts once, so call this once per request.
   *
   * @throws `dpop_proof_invalid`, `dpop_proof_replayed`, `use_dpop_nonce`
   */
  provenKey(request: FastifyRequest): string | undefined
  /** Returns the audit log for the events of a request. */
  auditOf(request: FastifyRequest): Audit
}

/** Routes that a client calls from a page on its own site. */
const clientUrls = [tokenUrl, revocationUrl, pushedRequestUrl, userInfoUrl]

/** Registers routes in a scope of their own. */
export type IssuerRoutes = (scope: FastifyInstance, context: IssuerContext) => void | Promise<void>

/** Lets routes read and set cookies. */
function withCookies(register: IssuerRoutes): IssuerRoutes {
  return async (scope, context) => {
    await scope.register(cookiePlugin, { hook: false })
    await register(scope, context)
  }
}

/** Requires an access token for routes. */
function withAccessToken(register: IssuerRoutes): IssuerRoutes {
  return async (scope, context) => {
    const { verifier, targetOf: requestTarget } = context
    await scope.register(gatepassAuth, { verifier, requestTarget, onRefused: throwRefusal })
    await register(scope, context)
  }
}

/** Builds the public HTTP service of the issuer. It starts nothing and reads no environment. */
export function buildIssuerApp(options: IssuerAppOptions): FastifyInstance {
  const { service, issuer, nonces, frontEnd, hooks = {} } = options
  const app = createApp(service)
  const routes = collectRoutes(app)
  const context = createContext(app, options)
  service.metrics.observe(app)
  serveOpenApi(app, {
    title: 'Gatepass issuer',
    description: 'Signs users in and publishes the keys that verify their tokens.',
    version: service.version,
    publicUrl: issuer.policy.issuer,
    cookieName: context.refreshCookie.name,
  })
  if (nonces) sendNonces(app, nonces)
  answerRefusedPreflights(app, loginUrl, context.origins)
  const openUrls = new Set([...metadataUrls(issuer.policy.issuer), ...clientUrls])
  allowAnyPage(app, openUrls, frontEnd.allowedOrigins)
  allowOrigins(app, frontEnd.allowedOrigins, pageUrls)
  for (const register of [
    wellKnownRoutes,
    revocationRoutes,
    withCookies(signInRoutes),
    oauthRoutes,
    withCookies(pageRoutes),
    withAccessToken(userInfoRoutes),
    withAccessToken(accountRoutes),
    ...(hooks.routes ?? []),
  ]) {
    app.register(async (scope) => register(scope, context))
  }
  app.register(async (scope) => refuseOtherMethods(scope, routes))
  return app
}

/** RFC 9449 §8 and §8.2: the response to each proof, accepted or not, has the next nonce. */
function sendNonces(app: FastifyInstance, nonces: Pick<DpopNonces, 'current'>): void {
  app.addHook('onRequest', async (request, reply) => {
    if (request.headers.dpop !== undefined) reply.header('dpop-nonce', nonces.current())
  })
}

function createContext(app: FastifyInstance, options: IssuerAppOptions): IssuerContext {
  const { service, issuer, oauth, keys, verifier, proofs, frontEnd, hooks } = options
  const { cookieSecure, cookieSuffix = '', allowedOrigins } = frontEnd
  const publicUrl = issuer.policy.issuer
  const targetOf = targetBelow(publicUrl)
  return {
    issuer,
    oauth,
    keys,
    verifier,
    refreshCookie: new HostCookie(`gatepass${cookieSuffix}`, cookieSecure),
    deviceCookie: new LenientCookie(`gatepass-device${cookieSuffix}`, cookieSecure),
    signInCookie: new LenientCookie(`gatepass-sign-in${cookieSuffix}`, cookieSecure, 'lax'),
    browserCookie: new BrowserCookie(`gatepass-browser${cookieSuffix}`, cookieSecure, 'lax'),
    origins: new OriginGuard([new URL(publicUrl).origin, ...allowedOrigins]),
    targetOf,
    provenKey(request) {
      const { dpop } = request.headers
      return dpop === undefined ? undefined : proofs.check(String(dpop), targetOf(request))
    },
    auditOf({ id }) {
      const log = createAudit(app.log, service.metrics, id)
      return (event, fields) => {
        log(event, fields)
        hooks?.onAudit?.(event, fields)
      }
    },
  }
}

/** Creates a key source that reads the keys of the issuer in the same process. */
export function createOwnKeys(manager: KeyManager): KeySource {
  let published = manager.publicKeys()
  let keySet = readKeySet({ keys: published })
  return createKeysInMemory('own', () => {
    // The key manager returns the same array while the published keys are the same.
    const latest = manager.publicKeys()
    if (latest !== published) {
      keySet = readKeySet({ keys: latest }, keySet)
      published = latest
    }
    return keySet
  })
}
