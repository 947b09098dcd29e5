import { availableParallelism } from 'node:os'
import { dataUrl, type Settings } from '../config/settings.ts'
import { systemClock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import { ClockMonitor } from '../issuer/clock-monitor.ts'
import type { IssuerPolicy } from '../issuer/issuer.ts'
import { PasswordHasher } from '../issuer/passwords/password-hasher.ts'
import { type SessionPolicy, Sessions } from '../issuer/sessions.ts'
import type { AudienceKeys } from '../issuer/token-minter.ts'
import { createUsers, type Users } from '../issuer/users.ts'
import { EncryptedKeyStore } from '../keys/encrypted-key-store.ts'
import { KeyManager } from '../keys/key-manager.ts'
import { type KeyPolicy, type KeyStatus, keyStatuses, sortByActivation } from '../keys/lifecycle.ts'
import { openKeyStore } from '../keys/open-key-store.ts'
import type { KeyEvent } from '../keys/snapshot.ts'
import { openAccountStore, openSessionStore } from '../stores/open-stores.ts'
import type { AccountStore, SessionStore } from '../stores/ports.ts'
import { importEncryptionKey } from '../tokens/encryption-key.ts'

/** How settings become the parts of an issuer; every command that needs one takes it from here. */

export function issuerPolicy(settings: Settings): IssuerPolicy {
  return {
    issuer: settings.issuer,
    audience: settings.audience,
    accessTtlSeconds: settings.access_ttl_s,
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
    revokedKeptMs: revokedKeptMs(settings),
    hasData: dataUrl(settings) !== null,
  }
}

/** The MAC secrets of refresh tokens, newest first. */
export function issuerSecrets(settings: Settings): readonly [Buffer, ...Buffer[]] {
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

/** Until the last access token of an ended session has expired, by any clock. */
function tokensLastMs(settings: Settings): number {
  return (settings.access_ttl_s + settings.clock_skew_s) * 1000
}

/** So long the log has a session whose data is to be ended: a store may be away for that time. */
const dataEndKeptMs = 3_600_000

/** As above; and where sessions have data, until that has ended too. */
function revokedKeptMs(settings: Settings): number {
  return Math.max(tokensLastMs(settings), dataUrl(settings) === null ? 0 : dataEndKeptMs)
}

/** How long the data of an ended session stays closed: one who writes may be slow besides. */
export function dataClosedMs(settings: Settings): number {
  return tokensLastMs(settings) + settings.clock_skew_s * 1000 + 60_000
}

/**
 * How long verifiers are told of a revocation: as above, and until none has a copy of the JWKS left
 * that was made before a key in it was revoked.
 */
export function revocationsToldMs(settings: Settings): number {
  const jwksKeptMs = (settings.jwks_max_age_s + settings.clock_skew_s) * 1000
  return Math.max(tokensLastMs(settings), jwksKeptMs)
}

/** The schema has seen to it that there is one. */
function atLeastOne<T>(items: readonly T[]): readonly [T, ...T[]] {
  return items as readonly T[] as readonly [T, ...T[]]
}

function keyPolicy(settings: Settings): KeyPolicy {
  return {
    rotationMs: settings.key_rotation_s * 1000,
    jwksMaxAgeMs: settings.jwks_max_age_s * 1000,
    clockSkewMs: settings.clock_skew_s * 1000,
    accessTtlMs: settings.access_ttl_s * 1000,
  }
}

/** The workers are on one machine: together they hash on each core once. */
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
  onChange?: (event: KeyEvent) => void,
): Promise<KeyManager> {
  return KeyManager.open({
    store: await openKeyStore(settings.keys_url, cwd),
    secrets: [...settings.keys_secret, ...settings.secret],
    algorithm: settings.algorithm,
    policy: keyPolicy(settings),
    clock: systemClock,
    ...(onChange && { onChange }),
  })
}

/** Every key and where it stands, without making, changing or opening any. */
export async function keyStatusesOf(settings: Settings, cwd: string): Promise<KeyStatus[]> {
  const store = await openKeyStore(settings.keys_url, cwd)
  const infos = await new EncryptedKeyStore(store, []).listInfos().finally(() => store.close())
  return keyStatuses(sortByActivation(infos), keyPolicy(settings), systemClock.nowMs())
}

/** Compares the clock of this machine with the one of the session store. */
export function openClockMonitor(
  settings: Settings,
  sessions: SessionStore,
): Promise<ClockMonitor> {
  return ClockMonitor.open({
    sessions,
    clock: systemClock,
    skewMs: settings.clock_skew_s * 1000,
    keptMs: revocationsToldMs(settings),
  })
}

/** The sessions as a command revokes them. It compares the clocks before. */
export function openSessions(settings: Settings, store: SessionStore): Sessions {
  return new Sessions({
    store,
    policy: sessionPolicy(settings),
    clock: systemClock,
    hooks: {
      async checkClock() {
        const monitor = await openClockMonitor(settings, store)
        await monitor.close()
        monitor.checkSignOut()
      },
    },
  })
}

export interface AccountParts {
  readonly accounts: AccountStore
  readonly sessions: SessionStore
  readonly hasher: PasswordHasher
  readonly users: Users
  close(): Promise<void>
}

/** What works on accounts needs sessions too: a changed password ends them. */
export async function openAccountParts(settings: Settings, cwd: string): Promise<AccountParts> {
  const { accounts_url, webhook_secret, sessions_url, sessions_replicas } = settings
  const accounts = await openAccountStore(accounts_url, cwd, webhook_secret)
  const sessions = await openSessionStore(sessions_url, cwd, sessions_replicas)
  const hasher = createHasher(settings)
  const users = createUsers({
    accounts,
    sessions: openSessions(settings, sessions),
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
