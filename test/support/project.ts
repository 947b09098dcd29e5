import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

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
