import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import type { Test } from 'tap'
import { closedWith } from '../../support/closed-with.ts'
import { compileCache, withEnv } from '../../support/processes.ts'

export interface WritingProcess {
  /** The process is killed after this many acknowledged writes. */
  readonly count: number
  readonly fillerBytes?: number
  readonly first?: number
  /** Options of Node. */
  readonly nodeOptions?: readonly string[]
}

const program = join(import.meta.dirname, 'programs', 'write-forever.ts')

/** Starts a process that writes numbers into a database, kills it, and returns the acknowledged numbers. */
export async function writeUntilKilled(
  t: Test,
  path: string,
  { count, fillerBytes = 0, first = 1, nodeOptions = [] }: WritingProcess,
): Promise<number[]> {
  const args = [...nodeOptions, program, path, String(fillerBytes), String(first)]
  const child = spawn(...withEnv(compileCache, [process.execPath, ...args]), {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const closed = once(child, 'close')
  t.teardown(() => child.kill('SIGKILL'))
  const acknowledged: number[] = []
  for await (const line of createInterface(child.stdout)) {
    // Lines that remain in the pipe after the kill were acknowledged too.
    acknowledged.push(Number(line))
    if (acknowledged.length === count) child.kill('SIGKILL')
  }
  const [, signal] = await closed
  t.equal(signal, 'SIGKILL', 'the writer ends when it is killed')
  return acknowledged
}

/** Asserts that the file is whole and has these numbers. */
export function assertStored(t: Test, path: string, numbers: readonly number[]): void {
  const after = closedWith(t, new DatabaseSync(path))
  t.match(after.prepare('PRAGMA integrity_check').get(), { integrity_check: 'ok' })
  const rows = after.prepare('SELECT n FROM numbers').all()
  const stored = new Set(rows.map(({ n }) => Number(n)))
  t.strictSame(
    numbers.filter((n) => !stored.has(n)),
    [],
  )
}
