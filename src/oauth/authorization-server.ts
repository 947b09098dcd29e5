import type { Issuer } from '../issuer/issuer.ts'
import type { SessionStore } from '../stores/ports.ts'
import type { Verifier } from '../verifier/verifier.ts'
import { AuthorizationCodes } from './authorization-codes.ts'
import { ClientAuthentication } from './client-authentication.ts'
import { ClientKeys } from './client-keys.ts'
import { IssuedTokens } from './issued-tokens.ts'
import { TokenEndpoint } from './token-endpoint.ts'
import { TokenExchange } from './token-exchange.ts'
import { TokenInspection } from './token-inspection.ts'

export interface AuthorizationServerOptions {
  readonly issuer: Issuer
  /** Keeps what works once: codes, and the `jti`s of client assertions. */
  readonly store: SessionStore
  /** Accepts the issuer's own tokens, whatever their audience. */
  readonly verifier: Verifier
  readonly clockToleranceSeconds: number
}

/** The OAuth face of an issuer: the same sessions, rotation and keys by the standard's calls. */
export interface AuthorizationServer {
  readonly authentication: ClientAuthentication
  readonly codes: AuthorizationCodes
  readonly tokenEndpoint: TokenEndpoint
  readonly inspection: TokenInspection
  /** Stops fetching the keys of clients. */
  close(): Promise<void>
}

export function createAuthorizationServer(
  options: AuthorizationServerOptions,
): AuthorizationServer {
  const { issuer, store, verifier, clockToleranceSeconds } = options
  const { policy, accounts, clients, clock, minter, refreshTokens, revocations, sessions } = issuer
  const keys = new ClientKeys(clock)
  const assertions = { issuer: policy.issuer, keys, store, clock, clockToleranceSeconds }
  const tokens = new IssuedTokens({ verifier, sessions, revocations, clock })
  const codes = new AuthorizationCodes({ store, sessions, clock })
  return {
    codes,
    authentication: new ClientAuthentication({
      clients,
      assertions,
      throttle: issuer.clientThrottle,
    }),
    tokenEndpoint: new TokenEndpoint({
      ...issuer,
      codes,
      exchange: new TokenExchange({ tokens, accounts, minter }),
    }),
    inspection: new TokenInspection({ issuer: policy.issuer, tokens, refreshTokens, sessions }),
    close: () => keys.close(),
  }
}
