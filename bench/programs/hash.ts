import { argon2Sync, randomBytes, scryptSync } from 'node:crypto'
import { processorTime_s } from '../harness/machine.ts'
import type { Readings } from '../harness/scenario.ts'

/**
 * The minimum cost of a sign-in: its hash in a loop, one at a time.
 * `hash <warmup_s> <duration_s> <algorithm> <cost>`
 */

const [warmup_s = '0', duration_s = '0', algorithm = '', cost = '{}'] = process.argv.slice(2)
const password = 'correct horse battery staple'

const hashes: Readonly<Record<string, () => unknown>> = {
  // In one thread. The threads of Node's pool would take turns, each with its own memory.
  argon2id: () => {
    const { memory_kib: memory, passes, parallelism } = JSON.parse(cost)
    const parameters = { message: password, nonce: randomBytes(16), memory, passes, parallelism }
    return argon2Sync('argon2id', { ...parameters, tagLength: 32 })
  },
  // The default of better-auth.
  scrypt: () =>
    scryptSync(password, randomBytes(16), 64, { N: 16_384, r: 16, p: 1, maxmem: 64 * 1024 ** 2 }),
}

function repeat(duration_s: number) {
  const startMs = performance.now()
  let times = 0
  let elapsed_s = 0
  for (; elapsed_s < duration_s; times += 1) {
    hashes[algorithm]?.()
    elapsed_s = (performance.now() - startMs) / 1000
  }
  return { times, elapsed_s }
}

process.once('disconnect', () => process.exit())
repeat(Number(warmup_s))
const busyBefore_s = processorTime_s(process.pid)
const { times, elapsed_s } = repeat(Number(duration_s))
const busy_s = processorTime_s(process.pid) - busyBefore_s
process.send?.({
  per_second: times / elapsed_s,
  per_core_second: times / busy_s,
  server_busy: busy_s / elapsed_s,
} satisfies Readings)
