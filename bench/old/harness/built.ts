import { execFileSync } from 'node:child_process'
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = new URL('../../../', import.meta.url)

/** What a built program looks for beside itself, as it did before. */
const linked = ['node_modules', 'bench/peers/node_modules']

/** The tree with no types in it; null: programs run from source. */
let built: URL | null = null

/**
 * Compiles sources and bench into a folder, for all that is measured: a process in which Node has
 * stripped the types of its modules has taken up to 2 µs longer for each request (perhaps by what
 * settle.ts is about), and the package is shipped without types.
 */
export function build(folder: string): void {
  const path = (name: string) => fileURLToPath(new URL(name, root))
  const config = join(folder, 'tsconfig.json')
  const compilerOptions = {
    ...{
      noEmit: false,
      noCheck: true,
      allowImportingTsExtensions: false,
      rewriteRelativeImportExtensions: true,
    },
    ...{ rootDir: path('.'), outDir: folder, typeRoots: [path('node_modules/@types')] },
  }
  const include = ['src', 'bench', 'examples'].map((name) => path(`${name}/**/*.ts`))
  const exclude = [path('src/playground/page'), path('bench/peers/node_modules')]
  const extended = path('tsconfig.json')
  writeFileSync(config, JSON.stringify({ extends: extended, compilerOptions, include, exclude }))
  const compiler = path('node_modules/typescript/bin/tsc')
  execFileSync(process.execPath, [compiler, '--project', config], { stdio: ['ignore', 2, 2] })
  // What is not there yet may be installed before it is looked for.
  for (const name of linked) symlinkSync(path(name), join(folder, name))
  // By its name the package is what was built, whatever a process is told to prefer.
  const packageJson = readFileSync(path('package.json'), 'utf8')
  const withoutSources = packageJson.replaceAll('"gatepass-source"', '"no-source"')
  writeFileSync(join(folder, 'package.json'), withoutSources)
  symlinkSync('src', join(folder, 'dist'))
  built = pathToFileURL(`${folder}/`)
}

/** Where a program of ours runs from: what was built of it, if anything was. */
export function builtOf(module: URL): URL {
  if (built === null || !module.href.startsWith(root.href)) return module
  return new URL(module.href.slice(root.href.length).replace(/\.ts$/, '.js'), built)
}
