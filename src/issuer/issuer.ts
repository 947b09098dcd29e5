import type { Clock } from '../core/clock.ts'
import type { CounterStore } from '../stores/counter-store.ts'
import type { AccountStore, RotationPolicy, SessionStore } from '../stores/ports.ts'
import { createRefreshTokenCodec, type RefreshTokenCodec } from '../tokens/refresh-token.ts'
import type { SigningKey } from '../tokens/signing.ts'
import { type Client, Clients } from './clients.ts'
import { Login } from './login.ts'
import type { PasswordHasher } from './passwords/password-hasher.ts'
import { Refresh } from './refresh.ts'
import { Sessions } from './sessions.ts'
import { LoginThrottle } from './throttle/login-throttle.ts'
import { type AudienceKeys, TokenMinter } from './token-minter.ts'

export interface IssuerOptions {
  /** The `iss` of every token. */
  readonly issuer: string
  /** The `aud` of clients that have none of their own. */
  readonly audience: string
  readonly accessTtlSeconds: number
  readonly clients: readonly [Client, ...Client[]]
  /** The audiences whose tokens are encrypted. */
  readonly encryptionKeys?: AudienceKeys
  /** MAC secrets of refresh tokens, newest first; what else needs one derives it from these. */
  readonly secrets: readonly [Buffer, ...Buffer[]]
  readonly rotation: RotationPolicy
  /** The end of a session that no refresh moves, counted from the login. */
  readonly sessionMaxMs: number
  readonly accounts: AccountStore
  readonly sessions: SessionStore
  /** Where failed logins are counted. */
  readonly counters: CounterStore
  readonly hasher: PasswordHasher
  readonly clock: Clock
  /** Told of each session that has ended, where sessions have data. */
  readonly onSessionRevoked?: ((sid: string) => void) | undefined
  /** The key to sign with now. */
  signingKey(): SigningKey
  /** The last second whose tokens have ended for a user, if that was lately. */
  readonly revokedUntilSeconds?: ((sub: string) => number | null) | undefined
  /** Has `revokedUntilSeconds` know of all that has ended by now, at whichever replica. Never rejects. */
  readonly refreshRevocations?: (() => Promise<void>) | undefined
  /** Throws `clock_skew` while verifiers would not understand when a sign-out happened. */
  readonly checkClock?: (() => void) | undefined
}

/** The use cases of an issuer. */
export interface Issuer {
  readonly login: Login
  readonly refresh: Refresh
  readonly sessions: Sessions
  readonly accounts: AccountStore
  readonly refreshTokens: RefreshTokenCodec
  readonly scopesSupported: readonly string[]
}

export function createIssuer(options: IssuerOptions): Issuer {
  const { accounts, clock, rotation, onSessionRevoked, refreshRevocations, checkClock } = options
  const clients = new Clients(options.clients)
  const refreshTokens = createRefreshTokenCodec(options.secrets)
  const minter = new TokenMinter({ ...options, clients, refreshTokens })
  const common = { sessions: options.sessions, clock, minter, onSessionRevoked }
  const { revokedKeptMs } = rotation
  const sessions = new Sessions({ ...common, revokedKeptMs, refreshRevocations, checkClock })
  return {
    login: new Login({
      ...options,
      clients,
      minter,
      userSessions: sessions,
      throttle: new LoginThrottle(options.counters, options.secrets),
      sessionIdleMs: rotation.idleMs,
    }),
    refresh: new Refresh({
      ...common,
      accounts,
      userSessions: sessions,
      clients,
      refreshTokens,
      policy: rotation,
    }),
    sessions,
    accounts,
    refreshTokens,
    scopesSupported: clients.scopesSupported(),
  }
}
