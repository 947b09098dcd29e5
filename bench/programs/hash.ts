import { randomBytes, scryptSync } from 'node:crypto'
import type { Readings } from '../harness/scenario.ts'
import { hashPassword, password } from '../passwords.ts'

/** Hashes a password in a loop, the minimum cost of a sign-in. `hash <warmup_s> <duration_s> <algorithm>` */

const [warmup_s = '0', duration_s = '0', algorithm = ''] = process.argv.slice(2)
/** The default of better-auth. */
const scryptOptions = { N: 16_384, r: 16, p: 1, maxmem: 64 * 1024 ** 2 }
// In one thread: the threads of Node's pool would take turns on the core, each with its own memory.
const hash =
  algorithm === 'argon2id'
    ? () => hashPassword('default')
    : () => scryptSync(password, randomBytes(16), 64, scryptOptions)

function repeat(duration_s: number) {
  const startMs = performance.now()
  for (let times = 1; ; times++) {
    hash()
    const elapsed_s = (performance.now() - startMs) / 1000
    if (elapsed_s >= duration_s) return { times, elapsed_s }
  }
}

process.once('disconnect', () => process.exit())
repeat(Number(warmup_s))
const before = process.cpuUsage()
const { times, elapsed_s } = repeat(Number(duration_s))
const { user, system } = process.cpuUsage(before)
const busy_s = (user + system) / 1e6
process.send?.({
  per_second: times / elapsed_s,
  per_core_second: times / busy_s,
  server_busy: busy_s / elapsed_s,
} satisfies Readings)
