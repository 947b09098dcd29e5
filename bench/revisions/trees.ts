import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))
/** What the benchmark is made of. It is the one that is here, for every revision alike. */
const ofBenchmark = ['bench', 'scripts', 'test/support']
/** What is measured. */
const ofRevision = ['src', 'package.json', 'tsconfig.json', 'tsconfig.build.json']
const left = ['node_modules', 'results']

/** Two copies that can be measured, whatever is edited meanwhile: of a revision, and of what is here. */
export function copyTrees(revision: string, scratch: string) {
  const commit = commitOf(revision)
  return {
    commit,
    /** Whether what is installed here is not what the revision asks for; it is used for both. */
    hasOtherPackages: git('diff', '--name-only', commit, '--', 'package-lock.json').length > 0,
    theirs: makeTree(join(scratch, 'theirs'), (folder) => extract(commit, folder)),
    ours: makeTree(join(scratch, 'ours'), (folder) => copyAll(ofRevision, folder)),
  }
}

function commitOf(revision: string): string {
  try {
    return git('rev-parse', '--verify', '--quiet', '--end-of-options', `${revision}^{commit}`)
  } catch {
    throw new Error(`There is no revision ${revision}.`)
  }
}

function makeTree(folder: string, fill: (folder: string) => void): string {
  mkdirSync(folder)
  fill(folder)
  copyAll(ofBenchmark, folder)
  for (const path of ['node_modules', 'bench/peers/node_modules']) {
    if (existsSync(join(root, path))) symlinkSync(join(root, path), join(folder, path))
  }
  return folder
}

/** By archive rather than by worktree: nothing of it stays in the repository, however this ends. */
function extract(commit: string, folder: string): void {
  const archive = join(folder, 'archive.tar')
  git('archive', '--format=tar', '-o', archive, commit, ...ofRevision)
  execFileSync('tar', ['-xf', archive, '-C', folder])
}

function copyAll(paths: readonly string[], folder: string): void {
  const filter = (source: string) => !left.some((name) => source.endsWith(`/${name}`))
  for (const path of paths)
    cpSync(join(root, path), join(folder, path), { recursive: true, filter })
}

function git(...args: string[]): string {
  return execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: 'pipe' }).trim()
}
