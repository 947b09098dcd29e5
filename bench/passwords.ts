import { argon2, argon2Sync, randomBytes, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'

/** The password of all users. */
export const password = 'correct horse battery staple'

/** Costs of a hash. `least` is for users that only have to exist. */
export const hashCosts = {
  default: { memory_kib: 19 * 1024, passes: 2, parallelism: 1 },
  /** At the cost of production, two cores hash about 60 passwords a second: too few for thousands of users. */
  light: { memory_kib: 1024, passes: 1, parallelism: 1 },
  least: { memory_kib: 8, passes: 1, parallelism: 1 },
} as const

export type HashName = keyof typeof hashCosts

/** Returns the hash of the password in PHC format. Hashes in this thread. */
export function hashPassword(cost: HashName): string {
  const { memory_kib: memory, passes, parallelism } = hashCosts[cost]
  const nonce = randomBytes(16)
  const parameters = { message: password, nonce, memory, passes, parallelism, tagLength: 32 }
  const hash = argon2Sync('argon2id', parameters)
  const base64 = (bytes: Buffer) => bytes.toString('base64').replaceAll('=', '')
  const header = `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}`
  return `${header}$${base64(nonce)}$${base64(hash)}`
}

const hashInPool = promisify(argon2)

/** @param stored the hash of an account in PHC format */
export async function verifyPassword(password: string, stored: string): Promise<boolean> {
  const [, memory, passes, parallelism, nonce = '', expected = ''] =
    /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([^$]+)\$([^$]+)$/.exec(stored) ?? []
  const tag = await hashInPool('argon2id', {
    message: password,
    nonce: Buffer.from(nonce, 'base64'),
    memory: Number(memory),
    passes: Number(passes),
    parallelism: Number(parallelism),
    tagLength: 32,
  })
  return timingSafeEqual(tag, Buffer.from(expected, 'base64'))
}
