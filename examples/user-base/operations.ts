import type { User, Users } from './users.ts'

/** Gatepass reads at most 64 KiB of a response, so a page of users must stay below. */
const pageBytesMax = 60 * 1024

/**
 * Operations by message type. The signature was checked, so Gatepass sent the data.
 * Omitted operations get a 501. Gatepass needs only the first two.
 */
export const operations: Readonly<Record<string, (users: Users, data: never) => object>> = {
  ping: () => ({}),

  'accounts.find': (users, data: { login_name?: string; sub?: string }) => ({
    account:
      data.login_name === undefined
        ? users.findBySub(data.sub ?? '')
        : users.findByLoginName(data.login_name),
  }),

  /** A hash made stronger at a login (with `expected_hash`), or a new password. */
  'accounts.set_password_hash': (
    users,
    data: { sub: string; password_hash: string; expected_hash?: string; updated_at_ms: number },
  ) => {
    const { sub, password_hash, expected_hash, updated_at_ms } = data
    const changed = users.change(
      sub,
      { password_hash, updated_at_ms },
      (user) => expected_hash === undefined || user.password_hash === expected_hash,
    )
    return { changed }
  },

  'accounts.set_disabled': (
    users,
    { sub, ...changes }: { sub: string; disabled: boolean; updated_at_ms: number },
  ) => ({ changed: users.change(sub, changes, () => true) }),

  'accounts.list': (users, { after, limit }: { after: string; limit: number }) => {
    const accounts: User[] = []
    let bytes = 0
    for (const user of users.after(after).slice(0, limit)) {
      bytes += Buffer.byteLength(JSON.stringify(user))
      if (bytes > pageBytesMax && accounts.length > 0) break
      accounts.push(user)
    }
    return { accounts }
  },

  'accounts.create': (users, data: { accounts: User[] }) => ({
    taken: data.accounts.filter((user) => !users.add(user)).map((user) => user.login_name),
  }),
}
