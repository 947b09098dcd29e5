import { readFileSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { collectGarbage } from '../../test/support/garbage.ts'
import { resident_mib } from '../harness/machine.ts'
import type { Readings } from '../harness/scenario.ts'
import type { Trust } from '../tokens.ts'
import { importGatepass, type Verifier } from './packages.ts'

/**
 * Measures the growth of a process that verifies and caches tokens, each a number of times.
 * `memory <warmup_s> <duration_s> <trust> <file> <uses>`
 */

const [, , trust = '{}', file = '', uses = '1'] = process.argv.slice(2)
process.once('disconnect', () => process.exit())
/** Each verification cuts a new string out of a header, like a server. */
const headers = readFileSync(file, 'latin1')
  .split('\n')
  .map((token) => Buffer.from(`Bearer ${token}`, 'latin1'))
/** Requests in one turn of the event loop. */
const turnLength = 64
/** Warm-up: the process loads and compiles its code, which takes memory too. */
const warmupCount = 1_000

const { createVerifier } = await importGatepass('verifier')
const options = JSON.parse(trust) as Trust

await verifyMany(createVerifier(options), warmupCount)
const before = { heap_mib: heap_mib(), resident_mib: resident_mib(process.pid) }
const verifier = createVerifier(options)
for (let use = 0; use < Number(uses); use += 1) await verifyMany(verifier, headers.length)
// Before a garbage collection, as an operator sees it.
const resident = resident_mib(process.pid) - before.resident_mib
const readings: Readings = { heap_mib: heap_mib() - before.heap_mib, resident_mib: resident }
// Keeps the verifier and its cache alive until here.
if (verifier.status() !== undefined) process.send?.(readings)

async function verifyMany(one: Verifier, count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) {
    one.verifySync((headers[index] as Buffer).toString('latin1').slice('Bearer '.length))
    if (index % turnLength === 0) await setImmediate()
  }
}

/** Memory in use, including buffers outside the heap. */
function heap_mib(): number {
  collectGarbage()
  collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return (heapUsed + external) / 2 ** 20
}
