import { randomUUID } from 'node:crypto'
import type { Account } from '../../src/stores/ports.ts'

export const someHash = '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'
/** The password of the user `ada`. */
export const password = 'correct horse battery staple'
const createdAtMs = Date.UTC(2030, 0, 1)

/** An account of a new user. */
export function account(changes: Partial<Account> = {}): Account {
  return {
    sub: randomUUID(),
    loginName: 'alice',
    passwordHash: someHash,
    attributes: {},
    disabled: false,
    createdAtMs,
    updatedAtMs: createdAtMs,
    ...changes,
  }
}
