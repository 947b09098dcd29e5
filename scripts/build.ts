/**
 * Builds dist: compiles the sources and the modules of the pages, and copies the other files of the pages,
 * such as styles and pictures, beside the modules. The arguments are the folder and options of the compiler.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, readdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { projectFolder } from './project-files.ts'

const compiler = join(projectFolder, 'node_modules/typescript/lib/tsc.js')
const [folder = join(projectFolder, 'dist'), ...options] = process.argv.slice(2)
const dist = resolve(folder)

rmSync(dist, { recursive: true, force: true })
for (const part of ['build', 'page-build']) {
  const args = [compiler, '-p', `tsconfig.${part}.json`, '--outDir', dist, ...options]
  const { status } = spawnSync(process.execPath, args, { cwd: projectFolder, stdio: 'inherit' })
  // The compiler has printed the reason.
  if (status !== 0) process.exit(1)
}
for (const pages of ['playground/page', 'playground/third-party', 'http/pages']) {
  const [from, to] = [join(projectFolder, 'src', pages), join(dist, pages)]
  for (const name of readdirSync(from)) {
    if (!name.endsWith('.ts')) cpSync(join(from, name), join(to, name))
  }
}
