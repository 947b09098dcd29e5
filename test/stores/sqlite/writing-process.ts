import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import type { Test } from 'tap'

export interface WritingProcess {
  /** So many writes it has acknowledged when it is killed. */
  readonly count: number
  readonly filler_bytes?: number
  readonly first?: number
}

/** Has a process write numbers into a database, kills it, and returns what it has acknowledged. */
export async function writeUntilKilled(
  t: Test,
  path: string,
  { count, filler_bytes = 0, first = 1 }: WritingProcess,
): Promise<number[]> {
  const program = join(import.meta.dirname, 'programs', 'write-forever.ts')
  const child = spawn(process.execPath, [program, path, String(filler_bytes), String(first)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const acknowledged: number[] = []
  for await (const line of createInterface(child.stdout)) {
    // What is in the pipe when it dies was acknowledged, too.
    acknowledged.push(Number(line))
    if (acknowledged.length === count) child.kill('SIGKILL')
  }
  return acknowledged
}

/** Whether the file is whole, and these numbers are in it. */
export function assertStored(t: Test, path: string, numbers: readonly number[]): void {
  const after = new DatabaseSync(path)
  t.teardown(() => after.close())
  t.match(after.prepare('PRAGMA integrity_check').get(), { integrity_check: 'ok' })
  const rows = after.prepare('SELECT n FROM numbers').all()
  const stored = new Set(rows.map(({ n }) => Number(n)))
  t.strictSame(
    numbers.filter((n) => !stored.has(n)),
    [],
  )
}
