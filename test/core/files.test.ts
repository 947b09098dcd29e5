import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createFolder } from '../../src/core/files.ts'
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
