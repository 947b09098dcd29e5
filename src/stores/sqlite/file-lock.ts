import { chmodSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { GatepassError } from '../../core/errors.ts'

/**
 * Runs work while no other process on this machine runs any under the same path. The lock is one of
 * the operating system (on an empty database), so it goes with its process, however that ends.
 *
 * @param waitMs how long to wait for the others; nothing else runs in this process meanwhile
 * @throws `store_unavailable` if they take longer
 */
export async function withFileLock<T>(
  path: string,
  waitMs: number,
  work: () => Promise<T>,
): Promise<T> {
  const db = new DatabaseSync(path, { timeout: waitMs })
  try {
    chmodSync(path, 0o600)
    lock(db)
    return await work()
  } finally {
    db.close()
  }
}

function lock(db: DatabaseSync): void {
  try {
    db.exec('BEGIN EXCLUSIVE')
  } catch (cause) {
    const detail = 'Another process has been at work on the same file for too long. Try again.'
    throw new GatepassError('store_unavailable', { detail, cause })
  }
}
