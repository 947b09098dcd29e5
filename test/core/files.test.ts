import { statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { createFolder, programBeside } from '../../src/core/files.ts'
import { createTestFolder } from '../support/test-folder.ts'

t.test('creates a folder and its parents for their owner alone', async (t) => {
  const parent = join(createTestFolder(t), 'a')
  for (let time = 0; time < 2; time += 1) createFolder(join(parent, 'b'))
  if (process.platform === 'win32') return
  for (const folder of [parent, join(parent, 'b')]) t.equal(statSync(folder).mode & 0o777, 0o700)
})

t.test('a folder that cannot be created is an error', async (t) => {
  const file = join(createTestFolder(t), 'file')
  writeFileSync(file, '')
  t.throws(() => createFolder(file), { code: 'EEXIST' })
  t.throws(() => createFolder(join(file, 'a')))
  if (process.platform !== 'linux') return
  t.throws(() => createFolder('/proc/a/b'), { code: 'ENOENT' })
})

t.test('a source finds a source, a built module finds a built program', async (t) => {
  for (const extension of ['.ts', '.js']) {
    const filename = resolve(`/somewhere/a b/module${extension}`)
    const module = { filename, url: pathToFileURL(filename).href } as ImportMeta
    const program = pathToFileURL(resolve(`/somewhere/a b/main${extension}`))
    t.equal(programBeside(module, 'main').href, program.href)
  }
})
