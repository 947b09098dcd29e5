import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

/** The top folder of this project. */
export const projectFolder = join(import.meta.dirname, '..')

/** Options of git. A check-out may belong to another user, as in a CI container. */
export const gitOptions = ['-c', `safe.directory=${projectFolder}`]

/** The files of a clean checkout and uncommitted work, as paths from the top folder. */
export function projectFiles(): string[] {
  const list = ['ls-files', '-z', '--cached', '--others', '--exclude-standard']
  const out = execFileSync('git', [...gitOptions, ...list], {
    cwd: projectFolder,
    encoding: 'utf8',
  })
  const paths = out.split('\0').filter((path) => path !== '')
  return paths.filter((path) => existsSync(join(projectFolder, path))).sort()
}
