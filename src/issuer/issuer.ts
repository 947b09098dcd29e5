import type { Clock } from '../core/clock.ts'
import type { Secrets } from '../core/secrets.ts'
import type { CounterStore } from '../stores/counter-store.ts'
import type { AccountStore, SessionStore } from '../stores/ports.ts'
import { RefreshTokenCodec } from '../tokens/refresh-token.ts'
import type { SigningKey } from '../tokens/signing.ts'
import { type Client, Clients } from './clients.ts'
import { Login } from './login.ts'
import { LoginThrottle } from './login-throttle.ts'
import type { PasswordHasher } from './passwords/password-hasher.ts'
import { Refresh } from './refresh.ts'
import type { RevocationFeed } from './revocation-feed.ts'
import { type SessionPolicy, SessionStarter, Sessions, type SessionsOptions } from './sessions.ts'
import { TokenMinter, type TokenPolicy } from './token-minter.ts'

export interface IssuerPolicy extends TokenPolicy {
  readonly clients: readonly [Client, ...Client[]]
  readonly session: SessionPolicy
}

export interface IssuerStores {
  readonly accounts: AccountStore
  readonly sessions: SessionStore
  /** Counts failed logins. */
  readonly counters: CounterStore
}

export interface IssuerOptions {
  readonly policy: IssuerPolicy
  readonly stores: IssuerStores
  /** MAC secrets of refresh tokens. Other secrets are derived from them. */
  readonly secrets: Secrets
  /** Returns the key that signs at this time. */
  readonly signingKey: () => SigningKey
  readonly hasher: PasswordHasher
  readonly revocations: RevocationFeed
  readonly clock: Clock
  readonly checkClock: SessionsOptions['checkClock']
}

/** The use cases of an issuer, and the parts that they are made of. */
export type Issuer = ReturnType<typeof createIssuer>

export function createIssuer(options: IssuerOptions) {
  const { policy, stores, secrets, signingKey, hasher, revocations, clock } = options
  const { accounts, counters } = stores
  const clients = new Clients(policy.clients)
  const refreshTokens = new RefreshTokenCodec(secrets)
  const sessions = new Sessions({
    store: stores.sessions,
    policy: policy.session,
    clock,
    revocations,
    checkClock: options.checkClock,
  })
  const minter = new TokenMinter({
    policy,
    clients,
    refreshTokens,
    clock,
    signingKey,
    revocations,
  })
  const starter = new SessionStarter({ sessions, minter, revocations })
  const throttle = new LoginThrottle(counters, secrets)
  const parts = { accounts, sessions, clients, minter, starter, refreshTokens, clock }
  return {
    ...parts,
    policy,
    revocations,
    signingKey,
    /** Counts failures of clients, apart from those of logins. */
    clientThrottle: new LoginThrottle(counters, secrets, 'client'),
    login: new Login({ ...parts, throttle, hasher }),
    refresh: new Refresh({ ...parts, graceMs: policy.session.graceMs }),
  }
}
