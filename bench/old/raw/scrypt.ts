import { randomBytes, scryptSync } from 'node:crypto'
import { runLoop } from './loop.ts'

/** One hash as better-auth makes them by default, one at a time. */

const cost = { N: 16_384, r: 16, p: 1, maxmem: 64 * 1024 ** 2 }
const salt = randomBytes(16).toString('hex')
await runLoop(() => scryptSync('correct horse battery staple', salt, 64, cost))
