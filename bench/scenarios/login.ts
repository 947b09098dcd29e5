import { join } from 'node:path'
import { systemClock } from '../../src/core/clock.ts'
import { randomId } from '../../src/core/secrets.ts'
import { PasswordHasher } from '../../src/issuer/passwords/hasher.ts'
import { SqliteAccountStore } from '../../src/stores/sqlite/accounts.ts'
import { byRate } from '../harness/compare.ts'
import type { Scenario } from '../harness/scenario.ts'
import { loop, served } from '../harness/subjects.ts'
import type { Traffic } from '../load/traffic.ts'
import { argon2idCost } from '../raw/argon2id-cost.ts'
import { IssuerService } from './issuer-service.ts'

/** Enough to have a login waiting whenever a hash is done. */
const connections = 8
/** So many that none of them signs in often: sessions of a user pile up, and are limited. */
const accountCount = 4096
const password = 'correct horse battery staple'

export const login: Scenario = {
  name: 'login',
  title: 'the issuer signing users in with Argon2id, beside the same hash one at a time in a loop',
  async prepare(bench) {
    const { memory_kib, passes, parallelism } = argon2idCost
    const issuer = await IssuerService.create(bench, {
      GATEPASS_ARGON2_MEMORY_KIB: String(memory_kib),
      GATEPASS_ARGON2_PASSES: String(passes),
      GATEPASS_ARGON2_PARALLELISM: String(parallelism),
    })
    const loginNames = await createAccounts(issuer)
    const traffic = (): Traffic => ({ kind: 'fixed', requests: loginNames.map(loginRequest) })
    const module = new URL('../raw/argon2id.ts', import.meta.url)
    return {
      subjects: [
        served({ name: 'issuer', server: () => issuer.spec(), traffic, connections }, bench),
        loop({ name: 'raw Argon2id', module }, bench),
      ],
      comparisons: byRate({ subject: 'issuer', limit: 'raw Argon2id', target: { atLeast: 0.95 } }),
      close: async () => {},
    }
  },
}

/** Lays out accounts that share a password; returns their login names. */
async function createAccounts({ template }: IssuerService): Promise<string[]> {
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
  return loginNames
}

function loginRequest(username: string) {
  return {
    method: 'POST',
    path: '/login',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username, password, refresh_token_in: 'body' }),
  }
}
