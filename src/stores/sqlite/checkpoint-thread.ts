import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { workerData } from 'node:worker_threads'
import type { CheckpointResult, CheckpointThreadData } from './checkpoints.ts'

/** How long a restart of the WAL waits for a writer, and then, while writers wait, for readers. */
const lockTimeoutMs = 5
const retryMs = 5
/**
 * After this many blocked passes in a row, a long read such as a backup needs the WAL unchanged.
 */
const maxBlockedPasses = 20

const { path, startPages } = workerData as CheckpointThreadData
const db = new DatabaseSync(path, { timeout: lockTimeoutMs })
const copy = db.prepare('PRAGMA wal_checkpoint(PASSIVE)')
const restart = db.prepare('PRAGMA wal_checkpoint(RESTART)')
process.exitCode = (await copyAndRestart()) ? 0 : 1
db.close()

/**
 * Copies the WAL into the database beside the writers, pass by pass. Restarts the WAL after a pass that
 * met no commit, because SQLite flushes the database at the end of such a pass.
 *
 * Writers wait during the restart, so everything large has to be flushed before it.
 *
 * @returns false if a reader blocks it
 */
async function copyAndRestart(): Promise<boolean> {
  let lastLog = 0
  let blockedPasses = 0
  while (blockedPasses < maxBlockedPasses) {
    const { busy, log, checkpointed } = run(copy)
    const isBusy = busy === 1
    const isBlocked = !isBusy && checkpointed < log
    const isFlushed = !isBusy && !isBlocked && log === lastLog
    const isRestarted = !isBusy && log < startPages
    if (isRestarted || (isFlushed && run(restart).busy === 0)) return true
    if (isBusy || isBlocked || isFlushed) await sleep(retryMs)
    blockedPasses = isBlocked ? blockedPasses + 1 : 0
    lastLog = log
  }
  return false
}

function run(statement: StatementSync): CheckpointResult {
  return statement.get() as unknown as CheckpointResult
}
