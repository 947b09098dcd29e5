import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { projectFiles, projectFolder, readProjectFile } from '../support/project.ts'
import { functionLengths } from './functions.ts'

/** The rules of style that a program can hold. */

const fileLinesMax = 500
const functionLinesMax = 80

// This file has to name what it looks for, and no picture says anything in letters.
const files = projectFiles().filter(
  (path) => path !== 'test/structure/tidy.test.ts' && !path.endsWith('.png'),
)
const sources = files.filter((path) => /^src\/.*\.ts$/.test(path))
const tests = files.filter((path) => /^test\/.*\.ts$/.test(path))

/** Where a line of these files matches. */
function find(paths: readonly string[], pattern: RegExp): string[] {
  return paths.flatMap((path) =>
    readProjectFile(path)
      .split('\n')
      .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}`] : [])),
  )
}

t.test('files are short', async (t) => {
  const long = sources.filter((path) => readProjectFile(path).split('\n').length > fileLinesMax)
  t.same(long, [])
})

t.test('functions fit on a screen', async (t) => {
  const all = sources.flatMap((path) =>
    functionLengths(readProjectFile(path)).map((one) => ({ ...one, path })),
  )
  const long = all.filter(({ ownLines }) => ownLines > functionLinesMax)
  t.same(long, [])
  t.ok(all.length > sources.length, 'there are functions at all')
})

t.test('nothing is left for later', async (t) => {
  t.same(find(files, /\b(TODO|FIXME|XXX)\b/), [])
})

t.test('the sources write to the log, or to the streams of the command line', async (t) => {
  t.same(find(sources, /\bconsole\./), [])
})

t.test('no test keeps the others from running', async (t) => {
  t.same(find(tests, /\.only\(/), [])
})

t.test('the folder of a test outlives what the test has started', async (t) => {
  t.same(find(tests, /\.testdir/), [])
})

t.test('each property is tried with inputs as long as it says', async (t) => {
  const direct = find(tests, /from 'fast-check'/)
  t.same(
    direct.map((where) => where.replace(/:\d+$/, '')),
    ['test/support/properties.ts'],
  )
})

t.test('no file knows a machine of a developer', async (t) => {
  t.same(find(files, /(?<![\w.~+=/-])\/(home|root|work)\//), [])
})

t.test('no file knows a package registry', async (t) => {
  t.same(find(files, /https?:\/\/[\w.-]*(registry|npmjs|artifactory|nexus|verdaccio)/i), [])
  // A folder of this project is no registry.
  t.same(find(['package-lock.json'], /"resolved": "(?!(src|test)\/)/), [])
})

t.test(
  'each install script of a dependency is allowed or refused, so that npm does not warn',
  async (t) => {
    const { packages } = JSON.parse(readProjectFile('package-lock.json')) as {
      packages: Record<string, { hasInstallScript?: boolean }>
    }
    const { allowScripts } = JSON.parse(readProjectFile('package.json'))
    const scripted = Object.entries(packages)
      .filter(([, { hasInstallScript }]) => hasInstallScript)
      .map(([path]) => path.replace(/.*node_modules\//, ''))
    t.same([...new Set(scripted)].sort(), Object.keys(allowScripts).sort())
  },
)

t.test('tests mirror what they test', async (t) => {
  const unlike = tests
    .filter((path) => path.endsWith('.test.ts'))
    .filter((path) => {
      const [, folder = ''] = path.split('/')
      const mirrored = [`src/${folder}`, folder].some((one) => existsSync(join(projectFolder, one)))
      return !mirrored && !['package', 'structure'].includes(folder)
    })
  t.same(unlike, [])
})
