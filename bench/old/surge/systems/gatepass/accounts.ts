import { systemClock } from '../../../../../src/core/clock.ts'
import { randomId } from '../../../../../src/core/secrets.ts'
import { PostgresAccountStore } from '../../../../../src/stores/postgres/account-store.ts'
import type { User } from '../../system.ts'

const perCommit = 500

/** As `gatepass users import` does. */
export async function importAccounts(
  url: string,
  users: readonly User[],
  passwordHash: string,
): Promise<void> {
  const store = await PostgresAccountStore.open(url)
  const nowMs = systemClock.nowMs()
  for (let start = 0; start < users.length; start += perCommit) {
    await store.createMany(
      users.slice(start, start + perCommit).map(({ name }) => ({
        sub: randomId(),
        loginName: name,
        passwordHash,
        attributes: {},
        disabled: false,
        createdAtMs: nowMs,
        updatedAtMs: nowMs,
      })),
    )
  }
  await store.close()
}
