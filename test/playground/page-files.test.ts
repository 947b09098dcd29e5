import t from 'tap'
import { indexPath, PageFiles } from '../../src/playground/page-files.ts'
import { projectFiles } from '../support/project.ts'
import fc from '../support/properties.ts'

const files = new PageFiles()

/** Whether reading is refused, before or after a look at the disk. */
async function isRefused(path: string): Promise<boolean> {
  try {
    await files.read(path)
    return false
  } catch (error) {
    return (error as { code?: unknown }).code === 'route_not_found'
  }
}

t.test('a module is served without types', async (t) => {
  const { type, text } = await files.read('playground/page/main.ts')
  t.equal(type, 'text/javascript; charset=utf-8')
  t.notMatch(text, /import type|: Page\b/)
  t.match(text, "from './page.ts'")
})

t.test('each file has its content type', async (t) => {
  t.match(await files.read(indexPath), {
    type: 'text/html; charset=utf-8',
    text: /^<!doctype html>/,
  })
  t.equal((await files.read('playground/page/base.css')).type, 'text/css; charset=utf-8')
  t.equal((await files.read('http/pages/icon.svg')).type, 'image/svg+xml')
})

t.test('no other file can be read', async (t) => {
  const page =
    /^src\/((playground\/(page|third-party)|browser)\/[^/]+|http\/pages\/(common\.css|icon\.svg))$/
  const others = projectFiles().filter((path) => !page.test(path))
  t.ok(others.length > 100)
  for (const path of others) {
    const isOpen = !(await isRefused(path)) || !(await isRefused(path.replace(/^src\//, '')))
    if (isOpen) t.fail(path)
  }
  for (const path of [
    '',
    '../package.json',
    'playground/page/../playground.ts',
    'playground/page/..%2fplayground.ts',
    'playground/page//main.ts',
    'playground/page/main.ts\n',
    'playground/page/absent.ts',
    'browser/index.js',
    '/etc/passwd',
    'constructor',
    '__proto__',
  ]) {
    t.ok(await isRefused(path), path)
  }
  const part = fc.constantFrom(
    ...['playground', 'page', 'browser', 'src', '', '.', '..', '%2e%2e', '%2f', '\\', '?', '#'],
    ...['playground.ts', 'package.json', 'absent.ts', 'main.ts%00', ' '],
  )
  const paths = fc.array(part).map((parts) => parts.join('/'))
  await fc.assert(fc.asyncProperty(fc.oneof(paths, fc.string()), isRefused), { numRuns: 500 })
})
