import { argon2, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { argon2idCost } from './argon2id-cost.ts'
import { runLoop } from './loop.ts'

/** One Argon2id hash, one at a time. */

const hash = promisify(argon2)
const { memory_kib: memory, passes, parallelism } = argon2idCost
const message = Buffer.from('correct horse battery staple')
const nonce = randomBytes(16)
await runLoop(() =>
  hash('argon2id', { message, nonce, memory, passes, parallelism, tagLength: 32 }),
)
