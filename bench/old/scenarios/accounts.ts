import { join } from 'node:path'
import type { Request } from 'autocannon'
import { systemClock } from '../../../src/core/clock.ts'
import { randomId } from '../../../src/core/secrets.ts'
import { PasswordHasher } from '../../../src/issuer/passwords/password-hasher.ts'
import { SqliteAccountStore } from '../../../src/stores/sqlite/account-store.ts'
import { argon2idCost } from '../raw/argon2id-cost.ts'

/** So many that none of them signs in often: sessions of a user pile up, and are limited. */
const accountCount = 4096
const password = 'correct horse battery staple'

/** Has an issuer hash at the cost that the accounts below are made with. */
export const hashSettings = {
  GATEPASS_ARGON2_MEMORY_KIB: String(argon2idCost.memory_kib),
  GATEPASS_ARGON2_PASSES: String(argon2idCost.passes),
  GATEPASS_ARGON2_PARALLELISM: String(argon2idCost.parallelism),
}

/**
 * Lays out accounts that share a password.
 * @param template the folder that an issuer starts from
 * @returns their logins
 */
export async function createAccounts(template: string): Promise<Request[]> {
  const store = new SqliteAccountStore(join(template, '.gatepass/accounts.db'))
  const passwordHash = await new PasswordHasher(argon2idCost).hash(password)
  const nowMs = systemClock.nowMs()
  const loginNames = Array.from({ length: accountCount }, (_, index) => `user-${index}`)
  await store.createMany(
    loginNames.map((loginName) => ({
      sub: randomId(),
      loginName,
      passwordHash,
      attributes: {},
      disabled: false,
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
    })),
  )
  await store.close()
  return loginNames.map(loginRequest)
}

/** Lays out the accounts that sessions are of: a refresh reads them. Nobody signs in to them. */
export async function createAccountsOf(subs: readonly string[], template: string): Promise<void> {
  const store = new SqliteAccountStore(join(template, '.gatepass/accounts.db'))
  const times = { createdAtMs: systemClock.nowMs(), updatedAtMs: systemClock.nowMs() }
  for (let start = 0; start < subs.length; start += accountCount) {
    const chunk = subs.slice(start, start + accountCount)
    await store.createMany(
      chunk.map((sub) => ({
        ...{ sub, loginName: sub, passwordHash: '', attributes: {}, disabled: false },
        ...times,
      })),
    )
  }
  await store.close()
}

function loginRequest(username: string): Request {
  return {
    method: 'POST',
    path: '/login',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username, password, refresh_token_in: 'body' }),
  }
}
