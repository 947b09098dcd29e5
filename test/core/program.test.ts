import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { programBeside } from '../../src/core/program.ts'

t.test('a source finds a source, a built module finds a built program', async (t) => {
  for (const extension of ['.ts', '.js']) {
    const filename = resolve(`/somewhere/a b/module${extension}`)
    const module = { filename, url: pathToFileURL(filename).href } as ImportMeta
    const program = pathToFileURL(resolve(`/somewhere/a b/main${extension}`))
    t.equal(programBeside(module, 'main').href, program.href)
  }
})
