import { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'
import type { CheckpointMessage, CheckpointThreadData, LogState } from './checkpoints.ts'

/** So often it goes over what has been written meanwhile; a few times are the rule. */
const passesMax = 32

const { path, idleMs } = workerData as CheckpointThreadData
const db = new DatabaseSync(path)
const look = db.prepare('PRAGMA wal_checkpoint(NOOP)')
const copy = db.prepare('PRAGMA wal_checkpoint(PASSIVE)')
const idle = setTimeout(close, idleMs)

parentPort?.on('message', (message: CheckpointMessage) => {
  if (message === 'close') return close()
  parentPort?.postMessage(copyLog())
  idle.refresh()
})

function close(): void {
  clearTimeout(idle)
  db.close()
  parentPort?.close()
}

/**
 * Copies the log into the file while others write, all but what they write at the end.
 *
 * SQLite flushes the file at the end of a pass during which nothing was written, and of no other: so
 * this goes on until there was such a one, and whoever copies the rest has little to flush.
 *
 * @returns whether it was done here: not when another connection is at it, nor when somebody still
 *   reads what was there before, or the disk is full. What is in the log is safe there.
 */
function copyLog(): boolean {
  try {
    for (let pass = 0; pass < passesMax; pass++) {
      const { busy, log, checkpointed } = copy.get() as unknown as LogState
      if (busy !== 0 || checkpointed < log) return false
      const now = look.get() as unknown as LogState
      if (now.log === log) break
    }
    return true
  } catch {
    return false
  }
}
