import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

/** The top folder of this project. */
export const projectFolder = fileURLToPath(new URL('../..', import.meta.url))

/** What a clean check-out would hold, with work not committed yet: paths from the top folder. */
export function projectFiles(): string[] {
  const git = ['-c', `safe.directory=${dirname(join(projectFolder, '.git'))}`]
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
  readonly devDependencies: Readonly<Record<string, string>>
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
