import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { createTestFolder } from './test-folder.ts'

/** The disk of a process, which a test can fill. */
export interface Disk {
  readonly folder: string
  /** Makes further writes of the process fail. */
  fill(pid: number): void
  free(pid: number): void
}

/**
 * Mounts a file system in memory. Returns null if this is not permitted.
 *
 * @param size as mount(8) takes it, such as `48m`
 */
export function smallDisk(t: Test, size: string): Disk | null {
  const folder = join(createTestFolder(t), 'disk')
  mkdirSync(folder)
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder])
  if (status !== 0) return null
  t.teardown(() => execFileSync('umount', ['--lazy', folder]))
  const ballast = join(folder, 'ballast')
  return {
    folder,
    fill() {
      const file = openSync(ballast, 'w')
      try {
        for (;;) writeSync(file, Buffer.alloc(4096))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
      } finally {
        closeSync(file)
      }
    },
    free: () => rmSync(ballast),
  }
}
