import t from 'tap'
import { projectFiles, readManifest, readProjectFile } from '../support/project.ts'
import { folderOf, type Import, imports, packageOf, sourceFiles } from './imports.ts'

/** The arrows of the design: each folder, and the folders whose code it may use. */
const mayUse: Readonly<Record<string, readonly string[]>> = {
  core: [],
  tokens: ['core'],
  keys: ['core', 'tokens', 'stores'],
  stores: ['core', 'tokens'],
  issuer: ['core', 'tokens', 'keys', 'stores'],
  verifier: ['core', 'tokens'],
  data: ['core', 'tokens', 'stores', 'verifier'],
  // Client assertions are checked like tokens, by the keys that clients publish.
  oauth: ['core', 'tokens', 'stores', 'issuer', 'verifier'],
  http: ['core', 'tokens', 'keys', 'issuer', 'oauth', 'verifier', 'data'],
  // The rules for a setting are those of the part that it is for.
  config: ['core', 'tokens', 'keys', 'stores', 'issuer', 'oauth'],
  // Its page runs the client; its server guards by the plugin, as any service would.
  playground: ['core', 'verifier', 'browser'],
  cli: [
    ...['core', 'tokens', 'keys', 'stores', 'issuer', 'oauth', 'verifier', 'data', 'http'],
    'config',
    'playground',
  ],
  browser: [],
}

/** The folders that it may name types of, besides. */
const mayName: Readonly<Record<string, readonly string[]>> = {
  http: ['stores'],
  browser: ['core', 'tokens', 'http'],
  playground: ['keys', 'issuer'],
}

function list(found: readonly Import[]): string[] {
  return found.map(({ from, to }) => `${from} imports ${to}`)
}

t.test('no import escapes this test', async (t) => {
  const written = /^(?! *\*| *\/\/).*( from '|^import '|\bimport\(|\brequire\()/gm
  for (const path of sourceFiles) {
    const seen = imports.filter(({ from }) => from === path)
    t.equal(seen.length, readProjectFile(path).match(written)?.length ?? 0, path)
  }
})

t.test('each folder imports only those that the design allows', async (t) => {
  const wrong = imports.filter(({ from, to, isType }) => {
    const [folder, other] = [folderOf(from), folderOf(to)]
    if (folder === null || other === null || folder === other) return false
    if (mayUse[folder]?.includes(other)) return false
    return !(isType && mayName[folder]?.includes(other))
  })
  t.same(list(wrong), [])
})

t.test('the sources depend on nothing outside src', async (t) => {
  const outside = imports.filter(({ to }) => /^(?!src\/)[\w.-]+\/.*\.ts$/.test(to))
  t.same(list(outside), [])
  const files = projectFiles().filter((path) => path.startsWith('src/') && !path.endsWith('.png'))
  t.same(
    files.filter((path) => readProjectFile(path).includes('examples/')),
    [],
    'examples use the sources, never the other way round',
  )
})

t.test('no file needs itself to run, by whatever way round', async (t) => {
  const needed = Map.groupBy(
    imports.filter(({ isType }) => !isType),
    ({ from }) => from,
  )
  const done = new Set<string>()
  const circles: string[] = []
  const follow = (path: string, way: readonly string[]) => {
    if (way.includes(path)) circles.push([...way.slice(way.indexOf(path)), path].join(' → '))
    if (done.has(path)) return
    done.add(path)
    for (const { to } of needed.get(path) ?? []) follow(to, [...way, path])
  }
  for (const path of sourceFiles) follow(path, [])
  t.same(circles, [])
})

/** Files and packages that are loaded with a file. */
function loadedWith(path: string, loaded = new Set<string>()): Set<string> {
  for (const { from, to, isType, isDynamic } of imports) {
    if (from !== path || isType || isDynamic || loaded.has(to)) continue
    loaded.add(to)
    loadedWith(to, loaded)
  }
  return loaded
}

t.test('a service loads the playground, drivers and other commands only when used', async (t) => {
  const onDemand =
    /^(src\/playground\/|src\/cli\/(dev|login|commands)\/|src\/http\/openapi-document|@fastify\/swagger|pg$|@redis\/client)/
  for (const command of ['issuer', 'verifier']) {
    const loaded = loadedWith(`src/cli/commands/${command}.ts`)
    t.ok(loaded.has('src/cli/serve.ts'))
    t.same(
      [...loaded].filter((path) => onDemand.test(path)),
      [],
      command,
    )
  }
})

t.test('only the command line and the settings know the environment', async (t) => {
  const reads = sourceFiles.filter((path) => readProjectFile(path).includes('process.env'))
  t.same(
    reads.filter((path) => !/^src\/(cli|config)\//.test(path)),
    // NODE_ENV, as the frameworks read it that the library is used in.
    ['src/verifier/guard.ts'],
  )
})

t.test('only the SQLite stores know SQLite', async (t) => {
  const users = imports.filter(({ to }) => to === 'node:sqlite')
  t.same(list(users.filter(({ from }) => !from.startsWith('src/stores/sqlite/'))), [])
})

t.test('the declared dependencies are the imported ones', async (t) => {
  const packages = imports.map(({ to }) => packageOf(to)).filter((name) => name !== null)
  t.same([...new Set(packages)].sort(), Object.keys(readManifest().dependencies).sort())
})
