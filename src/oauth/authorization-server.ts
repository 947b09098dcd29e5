import type { Secrets } from '../core/secrets.ts'
import type { Issuer } from '../issuer/issuer.ts'
import type { SessionStore } from '../stores/ports.ts'
import type { KeySource } from '../verifier/keys/key-source.ts'
import type { Verifier } from '../verifier/verifier.ts'
import { AuthorizationCodes } from './authorization-codes.ts'
import { AuthorizationEndpoint, InteractionCodec } from './authorization-endpoint.ts'
import { BackchannelLogout, type BackchannelLogoutOptions } from './backchannel-logout.ts'
import { ClientKeys } from './client-assertion.ts'
import { ClientAuthentication } from './client-authentication.ts'
import { Consents } from './consents.ts'
import { IdTokens } from './id-tokens.ts'
import { IssuedTokens } from './issued-tokens.ts'
import { PushedRequests } from './pushed-requests.ts'
import { SignIns } from './sign-ins.ts'
import { SignOut } from './sign-out.ts'
import { TokenEndpoint } from './token-endpoint.ts'
import { TokenExchange } from './token-exchange.ts'

export interface AuthorizationServerOptions {
  readonly issuer: Issuer
  /** Stores one-time values, such as codes, and the revocation log. */
  readonly store: SessionStore
  /** Accepts the issuer's own tokens, whatever their audience. */
  readonly verifier: Verifier
  /** The published keys. */
  readonly keys: Pick<KeySource, 'find'>
  readonly secrets: Secrets
  readonly clockToleranceSeconds: number
  readonly backchannel?: Pick<BackchannelLogoutOptions, 'expiryClock' | 'backoff' | 'onFailure'>
}

/**
 * The OAuth interface of an issuer. It uses the sessions, the rotation and the keys of the issuer.
 */
export type AuthorizationServer = ReturnType<typeof createAuthorizationServer>

export function createAuthorizationServer(options: AuthorizationServerOptions) {
  const { issuer, store, verifier, clockToleranceSeconds, secrets } = options
  const { policy, accounts, clients, clock, minter, refreshTokens, revocations } = issuer
  const { sessions, signingKey } = issuer
  const clientKeys = new ClientKeys(clock)
  const assertions = {
    issuer: policy.issuer,
    keys: clientKeys,
    store,
    clock,
    clockToleranceSeconds,
  }
  const issuedTokens = new IssuedTokens({
    issuer: policy.issuer,
    verifier,
    refreshTokens,
    accounts,
    sessions,
    revocations,
    clock,
  })
  const codes = new AuthorizationCodes({ store, sessions, clock })
  const backchannel = new BackchannelLogout({
    ...options.backchannel,
    issuer: policy.issuer,
    store,
    clients,
    signingKey,
    clock,
  })
  backchannel.follow(revocations)
  clients.onReplaced(() => {
    clientKeys.dropOthers(clients)
    backchannel.readAgain()
  })
  const idTokens = new IdTokens({
    issuer: policy.issuer,
    lifetimeSeconds: policy.accessTtlSeconds,
    signingKey,
    keys: options.keys,
    clock,
  })
  const consents = new Consents({ store, clients, sessions, clock, keptMs: policy.session.maxMs })
  const signIns = new SignIns({ login: issuer.login, sessions, accounts, store, secrets, clock })
  return {
    consents,
    backchannel,
    /** The forms of the pages. */
    interactions: new InteractionCodec(secrets, clock),
    signIns,
    signOut: new SignOut({ clients, sessions, signIns, idTokens }),
    authorization: new AuthorizationEndpoint({
      issuer: policy.issuer,
      clients,
      minter,
      codes,
      consents,
      idTokens,
      store,
      clock,
      pushed: new PushedRequests({ store, clock }),
      signInLifetimeMs: policy.session.idleMs,
    }),
    authentication: new ClientAuthentication({
      clients,
      assertions,
      throttle: issuer.clientThrottle,
    }),
    tokenEndpoint: new TokenEndpoint({
      ...issuer,
      codes,
      consents,
      idTokens,
      backchannel,
      exchange: new TokenExchange({ tokens: issuedTokens, accounts, minter, clock }),
    }),
    issuedTokens,
    /** Stops notifying clients and fetching their keys. */
    close: async () => {
      await Promise.all([clientKeys.close(), backchannel.close()])
    },
  }
}
