import { z } from 'zod'
import { PasswordHasher } from '../../../../../src/issuer/passwords/password-hasher.ts'
import { NotSignedIn } from './refusals.ts'
import type { SharedRedis } from './shared-redis.ts'

/** Passwords are checked by the same code, at the same cost, as in Gatepass. */
const hasher = new PasswordHasher()

export const credentials = z.strictObject({ username: z.string(), password: z.string() })

export type Credentials = z.infer<typeof credentials>

export function accountKey(username: string): string {
  return `account:${username}`
}

/** @throws NotSignedIn */
export async function checkPassword(redis: SharedRedis, given: Credentials): Promise<void> {
  const hash = await redis.send('GET', accountKey(given.username))
  const isRight = typeof hash === 'string' && (await hasher.verify(given.password, hash))
  if (!isRight) throw new NotSignedIn('wrong name or password')
}
