import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'

const event = 'instructions:u'

/** Tells a loop that it is to count its own; loops are told all else by position. */
export const countsInstructionsVariable = 'GATEPASS_BENCH_INSTRUCTIONS'

/** Whether this machine counts instructions, and lets us ask: most virtual ones do not. */
export function countsInstructions(): boolean {
  const { stderr, error } = spawnSync('perf', ['stat', '-x,', '-e', event, 'true'], {
    encoding: 'utf8',
  })
  return error === undefined && parsePerfCount(stderr) !== null
}

/** The count in what `perf stat -x,` prints (perf-stat(1)); null where it has none. */
export function parsePerfCount(text: string): number | null {
  const count = /^(\d+),/m.exec(text)?.[1]
  return count === undefined ? null : Number(count)
}

export interface InstructionCount {
  /** How many there were since the start; null when perf gave none. */
  stop(): Promise<number | null>
}

/**
 * Counts what a process executes in user space, all its threads. Steadier than time: neither another
 * process nor the clock of the processor changes it.
 * @param counted another event of perf(1)
 */
export async function countInstructions(pid: number, counted = event): Promise<InstructionCount> {
  const control = ['--delay', '-1', '--control', 'fd:3,4']
  const perf = spawn('perf', ['stat', '-x,', '-e', counted, '-p', String(pid), ...control], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
  })
  const [, , stderr, orders, answers] = perf.stdio as [null, null, Readable, Writable, Readable]
  let text = ''
  stderr.setEncoding('utf8').on('data', (chunk) => {
    text += chunk
  })
  const exited = once(perf, 'close').catch(() => {})
  const order = async (word: string) => {
    orders.write(`${word}\n`)
    await Promise.race([once(answers, 'data'), exited])
  }
  orders.on('error', () => {})
  await order('enable')
  return {
    async stop() {
      await order('disable')
      perf.kill('SIGINT')
      await exited
      return parsePerfCount(text)
    },
  }
}
