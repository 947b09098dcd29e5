import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { isGatepassError } from '../core/errors.ts'
import { generatePassword, type Users } from '../issuer/users.ts'

/** What a `gatepass dev` installation makes for itself once, and keeps. */

export const demoUser = 'demo'

/** The text of a file; where there is none, a new one that only its owner can read. */
function keep(path: string, make: () => string): { text: string; isNew: boolean } {
  try {
    return { text: readFileSync(path, 'utf8').trim(), isNew: false }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const text = make()
  writeFileSync(path, `${text}\n`, { mode: 0o600, flag: 'wx' })
  return { text, isNew: true }
}

/** A secret of this installation: of its refresh tokens and signing keys, or of its session data. */
export function keepSecret(path: string) {
  return keep(path, () => randomBytes(32).toString('base64url'))
}

/** Makes sure that the demo user can sign in, and returns the password. */
export async function keepDemoUser(users: Users, passwordPath: string): Promise<string> {
  const { text: password, isNew } = keep(passwordPath, generatePassword)
  const attributes = { name: 'Demo User', email: 'demo@example.com', roles: ['customer'] }
  try {
    await users.add({ loginName: demoUser, password, attributes })
  } catch (error) {
    if (!isGatepassError(error, 'account_exists')) throw error
    // The account is there and its password was thrown away: it gets the new one.
    if (isNew) await users.setPassword(demoUser, password)
  }
  return password
}
