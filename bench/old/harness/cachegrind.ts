import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { builtOf } from './built.ts'

/** Tells a loop to do its work so many times and end, whatever the clock says. */
export const timesVariable = 'GATEPASS_BENCH_TIMES'

/** Code is made while it runs, which Valgrind has to look for; nothing may hang on what a thread does when. */
const valgrind = ['--tool=cachegrind', '--cache-sim=no', '--cachegrind-out-file=/dev/null']
const steadily = [
  '--smc-check=all-non-file',
  process.execPath,
  '--single-threaded',
  '--predictable',
]

/** Whether Valgrind is here, which counts instructions where the processor lets nobody see its counters. */
export function hasCachegrind(): boolean {
  return spawnSync('valgrind', ['--version']).status === 0
}

/**
 * The instructions of one work in a loop, by Cachegrind: a processor that is simulated, some thirty
 * times slower and with no weather. What a process does besides is in a second one that works half as
 * often, and is taken away.
 */
export async function countByCachegrind(
  module: URL,
  args: readonly string[],
  times: number,
): Promise<number> {
  const [once, twice] = await Promise.all(
    [times, 2 * times].map((count) => instructionsOf(module, args, count)),
  )
  return ((twice ?? Number.NaN) - (once ?? Number.NaN)) / times
}

async function instructionsOf(module: URL, args: readonly string[], times: number) {
  const env = { PATH: process.env.PATH, [timesVariable]: String(times) }
  const command = [...valgrind, ...steadily, fileURLToPath(builtOf(module)), ...args]
  // By its channel it learns of our end, however we end, and ends as well.
  const child = spawn('valgrind', command, { env, stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
  let text = ''
  child.stderr?.setEncoding('utf8').on('data', (chunk) => {
    text += chunk
  })
  await once(child, 'close')
  return parseCachegrind(text)
}

/** @throws when there is no total in what Cachegrind printed */
export function parseCachegrind(text: string): number {
  const total = /\bI\s+refs:\s+([\d,]+)/.exec(text)?.[1]
  if (total === undefined) throw new Error(`Cachegrind gave no count: ${text}`)
  return Number(total.replaceAll(',', ''))
}
