import { execFileSync } from 'node:child_process'
import { cpSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Bench } from '../harness/scenario.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** The command line as it runs in this repository: Node strips the types at each start. */
export const fromSource = new URL('../../src/cli/main.ts', import.meta.url)

/** Compiles the sources as they are now, the way the package ships them. */
export function compile({ scratch }: Bench): URL {
  const options = ['--project', 'tsconfig.build.json', '--outDir', join(scratch, 'dist')]
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  execFileSync(process.execPath, [compiler, ...options], { cwd: root, stdio: ['ignore', 2, 2] })
  // What the compiled code looks for where the package is installed.
  symlinkSync(join(root, 'node_modules'), join(scratch, 'node_modules'))
  cpSync(join(root, 'package.json'), join(scratch, 'package.json'))
  return pathToFileURL(join(scratch, 'dist/cli/main.js'))
}
