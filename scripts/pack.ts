/** Writes the tarballs of all packages to dist/packages, from what `npm run build` left in dist. */
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { transformSync } from 'esbuild'
import { bundle, bundles } from './browser-bundles.ts'
import { projectFolder } from './project-files.ts'

const dist = join(projectFolder, 'dist')
const packages = join(dist, 'packages')

/** The folders in src that are packages of their own, each with a package.json of its entry points. */
const libraries = ['verifier', 'browser', 'data']

/**
 * Packages with a copy for CommonJS: Jest and some bundlers cannot load an ES module from CommonJS.
 * Node and Bun never load this copy.
 */
const withCommonJs = ['@gatepass/verifier']

/**
 * Modules that a dependent package imports by name. With a copy there would be two classes
 * `GatepassError`, and `instanceof` would fail.
 */
const publicModules: Readonly<Record<string, string>> = {
  'core/errors': '@gatepass/verifier',
  'tokens/access-token': '@gatepass/verifier',
  'verifier/fastify': '@gatepass/verifier/fastify',
}

interface SourceManifest {
  readonly name: string
  readonly exports: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
}

interface RootManifest {
  readonly version: string
  readonly license: string
  readonly author: string
  readonly repository: { readonly type: string; readonly url: string }
  readonly bugs: string
}

type Kind = '.js' | '.d.ts'
type Conditions = Record<string, string | { types: string; default: string }>

const root = readJson<RootManifest>(join(projectFolder, 'package.json'))

for (const module of Object.keys(publicModules)) {
  if (!existsSync(join(dist, `${module}.js`))) throw new Error(`dist/${module}.js does not exist`)
}
rmSync(packages, { recursive: true, force: true })
mkdirSync(packages)
for (const folder of libraries) await packLibrary(folder)
npmPack(projectFolder)

async function packLibrary(folder: string): Promise<void> {
  const source = join(projectFolder, 'src', folder)
  const manifest = readJson<SourceManifest>(join(source, 'package.json'))
  const target = mkdtempSync(join(tmpdir(), 'gatepass-pack-'))
  try {
    const entries = Object.values(manifest.exports).map((path) => join(folder, path.slice(0, -3)))
    const hasCommonJs = withCommonJs.includes(manifest.name)
    for (const kind of ['.js', '.d.ts'] as const) {
      for (const [path, text] of modulesOf(entries, kind, manifest.peerDependencies)) {
        write(join(target, 'dist', path + kind), text)
        if (hasCommonJs)
          write(join(target, 'cjs', path + kind), kind === '.js' ? toCommonJs(text) : text)
      }
    }
    if (hasCommonJs) write(join(target, 'cjs/package.json'), '{ "type": "commonjs" }\n')
    if (folder === 'browser') {
      for (const one of bundles) await bundle(one, join(target, 'dist', one.file))
    }
    const published = publishedManifest(manifest, folder, hasCommonJs)
    write(join(target, 'package.json'), `${JSON.stringify(published, null, 2)}\n`)
    cpSync(join(source, 'README.md'), join(target, 'README.md'))
    cpSync(join(projectFolder, 'LICENSE'), join(target, 'LICENSE'))
    npmPack(target)
  } finally {
    rmSync(target, { recursive: true })
  }
}

/** Returns the modules that entry points need, and their texts with the imports of the package. */
function modulesOf(
  entries: readonly string[],
  kind: Kind,
  peers: Readonly<Record<string, string>> = {},
): Map<string, string> {
  const modules = new Map<string, string>()
  const add = (path: string) => {
    if (modules.has(path)) return
    // An entry is added before its imports: modules may import each other.
    modules.set(path, '')
    const found: string[] = []
    const text = readFileSync(join(dist, path + kind), 'utf8')
      // Declarations keep the extension of the sources.
      .replaceAll(/(['"])(\.{1,2}\/[\w./-]+)\.[jt]s\1/g, (_match, _quote, to: string) => {
        const module = join(dirname(path), to)
        const name = publicModules[module]
        if (name !== undefined && isWithin(name, peers)) return `'${name}'`
        found.push(module)
        return `'${to}.js'`
      })
    for (const [, thread = ''] of text.matchAll(/programBeside\(import\.meta, '([\w-]+)'\)/g)) {
      found.push(join(dirname(path), thread))
    }
    modules.set(path, text)
    found.forEach(add)
  }
  entries.forEach(add)
  return modules
}

/** Whether a name such as `@gatepass/verifier/fastify` leads into one of the peers. */
function isWithin(name: string, peers: Readonly<Record<string, string>>): boolean {
  return Object.keys(peers).some((one) => name === one || name.startsWith(`${one}/`))
}

function toCommonJs(text: string): string {
  return transformSync(text, { format: 'cjs', platform: 'node', target: 'node22' }).code
}

function publishedManifest(manifest: SourceManifest, folder: string, hasCommonJs: boolean) {
  const { private: _, ...kept } = manifest as SourceManifest & { private: true }
  // `*` is a package of this repository.
  const peers = Object.entries(manifest.peerDependencies ?? {}).map(([name, range]) => [
    name,
    range === '*' ? `^${root.version}` : range,
  ])
  const exports: Record<string, string | Conditions> = {}
  for (const [name, path] of Object.entries(manifest.exports)) {
    exports[name] = conditionsOf(join(folder, path.slice(0, -3)), hasCommonJs)
  }
  if (folder === 'browser') for (const { file } of bundles) exports[`./${file}`] = `./dist/${file}`
  return {
    ...kept,
    version: root.version,
    license: root.license,
    author: root.author,
    repository: { ...root.repository, directory: `src/${folder}` },
    bugs: root.bugs,
    exports: { ...exports, './package.json': './package.json' },
    ...(peers.length > 0 && { peerDependencies: Object.fromEntries(peers) }),
  }
}

/** `module-sync` gives `import` and `require()` of Node the same instance, `bun` those of Bun. */
function conditionsOf(module: string, hasCommonJs: boolean): Conditions {
  const files = (folder: string) => ({
    types: `./${folder}/${module}.d.ts`,
    default: `./${folder}/${module}.js`,
  })
  const modules = files('dist')
  if (!hasCommonJs) return modules
  return { 'module-sync': modules, bun: modules, require: files('cjs'), ...modules }
}

function npmPack(folder: string): void {
  const args = ['pack', '--silent', '--ignore-scripts', '--pack-destination', packages]
  execFileSync('npm', args, { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] })
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}

function readJson<Content>(path: string): Content {
  return JSON.parse(readFileSync(path, 'utf8'))
}
