import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { createTestFolder } from './test-folder.ts'

/**
 * Creates a pipe and opens both ends, which do not block. The writer stays open: a log output may
 * try to write again, and another file would get the number of a closed one.
 */
export function makePipe(t: Test) {
  const path = join(createTestFolder(t), 'pipe')
  execFileSync('mkfifo', [path])
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const writer = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
  let isRead = true
  const closeReader = () => {
    if (isRead) closeSync(reader)
    isRead = false
  }
  t.teardown(closeReader)
  return { path, reader, writer, closeReader }
}
