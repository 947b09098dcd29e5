import { pathToFileURL } from 'node:url'
import t from 'tap'
import { programBeside } from '../../src/core/program.ts'

t.test('a source finds a source, a built module finds a built program', async (t) => {
  for (const extension of ['.ts', '.js']) {
    const filename = `/somewhere/a b/module${extension}`
    const module = { filename, url: pathToFileURL(filename).href } as ImportMeta
    t.equal(programBeside(module, 'main').href, `file:///somewhere/a%20b/main${extension}`)
  }
})
