import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { run } from '../support/processes.ts'
import { projectFolder } from '../support/project.ts'
import { createTestFolder } from '../support/test-folder.ts'

/** A service like those of `npm run bundle`, with one program and nothing to compile. */
const service = {
  'program.js': `
    import { join } from 'node:path'
    export const cachePath = join(import.meta.dirname, 'cache')
    export const script = { createCachedData: () => 'compiled' }`,
  'main.js': `
    import { createServer } from 'node:http'
    const server = createServer((_, response) => response.end())
    server.listen(0, () => process.send({ type: 'ready', port: server.address().port }))
    process.on('SIGTERM', () => process.exit())`,
}

t.test('compiled code is saved, whatever the name of the folder', async (t) => {
  const name = `Ada's 100% "new" #1?`
  const cwd = createTestFolder(t, { [name]: { cli: service, 'package.json': '{"type":"module"}' } })
  const command = [process.execPath, join(projectFolder, 'scripts/warm-up.ts'), name]
  const { code, stderr } = await run(t, [], { command, cwd })
  t.equal(code, 0, stderr)
  t.equal(readFileSync(join(cwd, name, 'cli/cache'), 'utf8'), 'compiled')
})
