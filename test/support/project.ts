import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
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

/** A folder outside the project: what is missing in it is not found in the project's node_modules. */
export function outsideFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'gatepass-test-'))
  // Programs that run as other users must get in.
  chmodSync(folder, 0o755)
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
