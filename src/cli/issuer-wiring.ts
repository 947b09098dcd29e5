import { availableParallelism } from 'node:os'
import { keyPolicy, type Settings } from '../config/settings.ts'
import { systemClock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import type { Secrets } from '../core/secrets.ts'
import { ClockMonitor } from '../issuer/clock-monitor.ts'
import type { IssuerPolicy } from '../issuer/issuer.ts'
import { PasswordHasher } from '../issuer/passwords/password-hasher.ts'
import { type SessionPolicy, Sessions } from '../issuer/sessions.ts'
import type { AudienceKeys } from '../issuer/token-minter.ts'
import { Users } from '../issuer/users.ts'
import { listKeyInfos } from '../keys/encrypted-key-store.ts'
import { KeyManager, type KeyManagerOptions } from '../keys/key-manager.ts'
import { openKeyStore } from '../keys/key-store.ts'
import { type KeyStatus, keyStatuses, sortByActivation } from '../keys/lifecycle.ts'
import { openAccountStore, openSessionStore } from '../stores/open-stores.ts'
import type { AccountStore, SessionStore } from '../stores/ports.ts'
import { importEncryptionKey } from '../tokens/encryption-key.ts'
import { openedBy } from './context.ts'

/** A worker process knows only its own events, so none of several can serve the playground. */
export function hasPlayground(settings: Settings): boolean {
  return settings.playground && settings.workers === 1
}

export function issuerPolicy(settings: Settings): IssuerPolicy {
  return {
    issuer: settings.issuer,
    audience: settings.audience,
    accessTtlSeconds: settings.access_ttl_s,
    clockSkewSeconds: settings.clock_skew_s,
    tokenType: settings.token_type,
    clients: atLeastOne(settings.clients),
    encryptionKeys: encryptionKeys(settings),
    session: sessionPolicy(settings),
  }
}

function sessionPolicy(settings: Settings): SessionPolicy {
  return {
    graceMs: settings.grace_s * 1000,
    idleMs: settings.session_idle_s * 1000,
    maxMs: settings.session_max_s * 1000,
    revokedKeptMs: tokenLifetimeMs(settings),
  }
}

/** The MAC secrets of refresh tokens. */
export function issuerSecrets(settings: Settings): Secrets {
  return atLeastOne(settings.secret.map((secret) => Buffer.from(secret)))
}

function encryptionKeys({ audiences }: Settings): AudienceKeys {
  return new Map(
    audiences.map(({ audience, encryption_key }) => {
      const imported = importEncryptionKey(encryption_key)
      if (!imported.ok) throw new GatepassError('config_invalid', { detail: imported.reason })
      return [audience, imported.key]
    }),
  )
}

/** The time until every access token of a revoked session has expired, by any clock. */
function tokenLifetimeMs(settings: Settings): number {
  return (settings.access_ttl_s + settings.clock_skew_s) * 1000
}

/** How long the data of a revoked session refuses writes. A slow write gets one minute more. */
export function dataBlockedMs(settings: Settings): number {
  return tokenLifetimeMs(settings) + settings.clock_skew_s * 1000 + 60_000
}

/**
 * How long any revocation matters. By then the tokens of a session have expired, and no verifier has
 * a copy of the JWKS from before the revocation of a key.
 */
export function revocationsKeptMs(settings: Settings): number {
  const jwksFreshMs = (settings.jwks_max_age_s + settings.clock_skew_s) * 1000
  return Math.max(tokenLifetimeMs(settings), jwksFreshMs)
}

/** The settings' schema requires at least one item. */
function atLeastOne<T>(items: readonly T[]): readonly [T, ...T[]] {
  return items as readonly [T, ...T[]]
}

/** All worker processes of one machine together compute one hash per core at a time. */
function createHasher(settings: Settings): PasswordHasher {
  return new PasswordHasher({
    memoryKib: settings.argon2_memory_kib,
    passes: settings.argon2_passes,
    parallelism: settings.argon2_parallelism,
    maxConcurrent: Math.max(1, Math.floor(availableParallelism() / settings.workers)),
    maxQueued: settings.hash_queue_max,
    maxWaitMs: settings.hash_queue_wait_s * 1000,
  })
}

export async function openKeys(
  settings: Settings,
  cwd: string,
  options: Pick<KeyManagerOptions, 'expiryClock' | 'onChange'> = {},
): Promise<KeyManager> {
  return KeyManager.open({
    store: await openedBy('keys_url', openKeyStore(settings.keys_url, cwd)),
    secrets: atLeastOne([...settings.keys_secret, ...settings.secret]),
    algorithm: settings.algorithm,
    policy: keyPolicy(settings),
    clock: systemClock,
    ...options,
  })
}

/** Lists every key with its state. Creates, changes and decrypts none. */
export async function listKeyStatuses(settings: Settings, cwd: string): Promise<KeyStatus[]> {
  const store = await openedBy('keys_url', openKeyStore(settings.keys_url, cwd))
  const infos = await listKeyInfos(store).finally(() => store.close())
  return keyStatuses(sortByActivation(infos), keyPolicy(settings), systemClock.nowMs())
}

/** Compares the clock of this machine with the clock of the session store. */
export function openClockMonitor(
  settings: Settings,
  sessions: SessionStore,
): Promise<ClockMonitor> {
  return ClockMonitor.open({
    sessions,
    clock: systemClock,
    skewMs: settings.clock_skew_s * 1000,
    keptMs: revocationsKeptMs(settings),
  })
}

export function openSessionStoreOf(settings: Settings, cwd: string): Promise<SessionStore> {
  const { sessions_url, sessions_replicas } = settings
  return openedBy('sessions_url', openSessionStore(sessions_url, cwd, sessions_replicas))
}

/** Creates the session service of a command, which compares the clocks before it revokes. */
export function createSessions(settings: Settings, store: SessionStore): Sessions {
  return new Sessions({
    store,
    policy: sessionPolicy(settings),
    clock: systemClock,
    async checkClock() {
      const monitor = await openClockMonitor(settings, store)
      await monitor.close()
      await monitor.checkSignOut()
    },
  })
}

/** The stores and services of the commands that work on accounts. */
export interface AccountDeps {
  readonly accounts: AccountStore
  readonly sessions: SessionStore
  readonly hasher: PasswordHasher
  readonly users: Users
  close(): Promise<void>
}

/** Opens the session store as well: a new password revokes the user's sessions. */
export async function openAccountDeps(settings: Settings, cwd: string): Promise<AccountDeps> {
  const { accounts_url, webhook_secret } = settings
  const accounts = await openedBy(
    'accounts_url',
    openAccountStore(accounts_url, cwd, webhook_secret),
  )
  const sessions = await openSessionStoreOf(settings, cwd)
  const hasher = createHasher(settings)
  const users = new Users({
    accounts,
    sessions: createSessions(settings, sessions),
    hasher,
    clock: systemClock,
  })
  return {
    accounts,
    sessions,
    hasher,
    users,
    close: async () => {
      await Promise.all([accounts.close(), sessions.close(), hasher.close()])
    },
  }
}
