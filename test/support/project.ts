import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Test } from 'tap'

/** The top folder of this project. */
export const projectFolder = resolve(import.meta.dirname, '../..')

/** The files of a clean checkout and uncommitted work, as paths from the top folder. */
export function projectFiles(): string[] {
  // A check-out may belong to another user, as in a CI container.
  const git = ['-c', `safe.directory=${projectFolder}`]
  const list = ['ls-files', '-z', '--cached', '--others', '--exclude-standard']
  const out = execFileSync('git', [...git, ...list], { cwd: projectFolder, encoding: 'utf8' })
  const paths = out.split('\0').filter((path) => path !== '')
  return paths.filter((path) => existsSync(join(projectFolder, path))).sort()
}

export function readProjectFile(path: string): string {
  return readFileSync(join(projectFolder, path), 'utf8')
}

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>
}

export function readManifest(): Manifest {
  return JSON.parse(readProjectFile('package.json')) as Manifest
}

/**
 * A file system in memory, on Linux and if it has room. Servers then do not wait for a busy disk.
 */
const memory = '/dev/shm'
const minMemoryBytes = 2 * 1024 ** 3

function hasMemory(): boolean {
  if (!existsSync(memory)) return false
  const { bavail, bsize } = statfsSync(memory)
  return bavail * bsize >= minMemoryBytes
}

const parentOfFolders = hasMemory() ? memory : tmpdir()

/**
 * Creates a folder outside the project, whose node_modules are not found from there.
 *
 * @param parent Default: in memory. Use `tmpdir()` for hundreds of megabytes.
 */
export function outsideFolder(t: Test, parent: string = parentOfFolders): string {
  const folder = mkdtempSync(join(parent, 'gatepass-test-'))
  // Programs may run as other users.
  chmodSync(folder, 0o755)
  // A process that is ending may still write.
  t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10 }))
  return folder
}
