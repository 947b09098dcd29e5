import { parseArgs } from 'node:util'
import { fuzz } from './run.ts'

/** `npm run fuzz -- [--inputs <n>] [--seed <n>]`: exits 1 when any input was answered wrongly. */
const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 32) },
  },
})
const [inputs, seed] = [Number(values.inputs), Number(values.seed)]
if (!Number.isSafeInteger(inputs) || inputs < 1 || !Number.isSafeInteger(seed)) {
  throw new Error('--inputs and --seed take whole numbers')
}
process.stderr.write(`seed ${seed}\n`)
const started = performance.now()
const report = await fuzz({
  seed,
  inputs,
  onProgress: (done) => process.stderr.write(`\r${done} of ${inputs}`),
})
const seconds = (performance.now() - started) / 1000
process.stderr.write(`\r${inputs} inputs in ${seconds.toFixed(1)} s\n`)
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
if (report.failures.length > 0) process.exitCode = 1
