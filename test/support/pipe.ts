import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { outsideFolder } from './project.ts'

/** A pipe of which the test holds both ends. Neither blocks, and both are closed at the end. */
export function makePipe(t: Test) {
  const path = join(outsideFolder(t), 'pipe')
  execFileSync('mkfifo', [path])
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const writer = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
  let isRead = true
  const closeReader = () => {
    if (isRead) closeSync(reader)
    isRead = false
  }
  t.teardown(() => {
    closeReader()
    closeSync(writer)
  })
  return { path, reader, writer, closeReader }
}
