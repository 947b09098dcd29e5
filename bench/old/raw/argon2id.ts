import { argon2Sync, randomBytes } from 'node:crypto'
import { argon2idCost } from './argon2id-cost.ts'
import { runLoop } from './loop.ts'

/*
 * One Argon2id hash, one at a time, and always in the same thread: the four threads of Node's pool
 * take turns, each on memory of its own, which the caches hold less of.
 */

const { memory_kib: memory, passes, parallelism } = argon2idCost
const message = Buffer.from('correct horse battery staple')
const nonce = randomBytes(16)
await runLoop(() =>
  argon2Sync('argon2id', { message, nonce, memory, passes, parallelism, tagLength: 32 }),
)
