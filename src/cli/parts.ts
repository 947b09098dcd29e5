import { resolve } from 'node:path'
import type { Settings } from '../config/settings.ts'
import { systemClock } from '../core/clock.ts'
import { PasswordHasher } from '../issuer/passwords/hasher.ts'
import { createUsers, type Users } from '../issuer/users.ts'
import { FileKeyStore } from '../keys/file-store.ts'
import { KeyRing } from '../keys/ring.ts'
import { type KeyPolicy, type KeyStatus, keyStatuses } from '../keys/schedule.ts'
import type { KeyStore } from '../keys/store.ts'
import { readKeys } from '../keys/upkeep.ts'
import type { KeyEvent } from '../keys/view.ts'
import { openAccountStore, openSessionStore } from '../stores/open.ts'
import type { AccountStore, SessionStore } from '../stores/ports.ts'

/** How settings become the parts of an issuer; every command that needs one takes it from here. */

export function issuerPolicy(settings: Settings) {
  return {
    issuer: settings.issuer,
    audience: settings.audience,
    accessTtl_s: settings.access_ttl_s,
    clients: atLeastOne(settings.clients),
    secrets: atLeastOne(settings.secret.map((secret) => Buffer.from(secret))),
    rotation: {
      graceMs: settings.grace_s * 1000,
      idleMs: settings.session_idle_s * 1000,
      revokedKeptMs: revokedKeptMs(settings),
    },
    sessionMaxMs: settings.session_max_s * 1000,
  }
}

/** Until the last access token of an ended session has expired, by any clock. */
function revokedKeptMs(settings: Settings): number {
  return (settings.access_ttl_s + settings.clock_skew_s) * 1000
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

function createHasher(settings: Settings): PasswordHasher {
  return new PasswordHasher({
    memory_kib: settings.argon2_memory_kib,
    passes: settings.argon2_passes,
    parallelism: settings.argon2_parallelism,
    maxQueued: settings.hash_queue_max,
  })
}

export function openKeys(
  settings: Settings,
  cwd: string,
  onChange?: (event: KeyEvent) => void,
): Promise<KeyRing> {
  return KeyRing.open({
    store: openKeyStore(settings, cwd),
    algorithm: settings.algorithm,
    policy: keyPolicy(settings),
    clock: systemClock,
    ...(onChange && { onChange }),
  })
}

/** Every key and where it stands, without making or changing any. */
export async function keyStatusesOf(settings: Settings, cwd: string): Promise<KeyStatus[]> {
  const keys = await readKeys(openKeyStore(settings, cwd), [])
  return keyStatuses(keys, keyPolicy(settings), systemClock.nowMs())
}

function openKeyStore(settings: Settings, cwd: string): KeyStore {
  return new FileKeyStore(resolve(cwd, settings.keys_url.slice('file:'.length)))
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
  const accounts = await openAccountStore(settings.accounts_url, cwd)
  const sessions = await openSessionStore(settings.sessions_url, cwd)
  const hasher = createHasher(settings)
  const users = createUsers({
    accounts,
    sessions,
    hasher,
    clock: systemClock,
    revokedKeptMs: revokedKeptMs(settings),
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
