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
  readonly checkClock?: SessionsOptions['checkClock']
}

/** The use cases of an issuer, and the parts that they are made of. */
export interface Issuer {
  readonly policy: IssuerPolicy
  readonly clients: Clients
  readonly accounts: AccountStore
  readonly sessions: Sessions
  readonly refreshTokens: RefreshTokenCodec
  readonly minter: TokenMinter
  readonly starter: SessionStarter
  /** Counts failures of clients, apart from those of logins. */
  readonly clientThrottle: LoginThrottle
  readonly login: Login
  readonly refresh: Refresh
  readonly revocations: RevocationFeed
  readonly signingKey: () => SigningKey
  readonly clock: Clock
}

export function createIssuer(options: IssuerOptions): Issuer {
  const { policy, stores, secrets, signingKey, hasher, revocations, clock, checkClock } = options
  const { accounts } = stores
  const clients = new Clients(policy.clients)
  const refreshTokens = new RefreshTokenCodec(secrets)
  const sessions = new Sessions({
    store: stores.sessions,
    policy: policy.session,
    clock,
    revocations,
    checkClock,
  })
  const minter = new TokenMinter({
    policy,
    clients,
    refreshTokens,
    clock,
    signingKey,
    revocations,
  })
  const throttle = new LoginThrottle(stores.counters, secrets)
  const starter = new SessionStarter({ sessions, minter, revocations })
  const common = { accounts, sessions, clients, minter, clock }
  return {
    policy,
    clients,
    accounts,
    sessions,
    refreshTokens,
    minter,
    starter,
    clientThrottle: new LoginThrottle(stores.counters, secrets, 'client'),
    login: new Login({ ...common, starter, throttle, hasher }),
    refresh: new Refresh({ ...common, refreshTokens, graceMs: policy.session.graceMs }),
    revocations,
    signingKey,
    clock,
  }
}
