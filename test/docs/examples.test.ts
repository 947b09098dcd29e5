import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { projectFolder, readProjectFile } from '../support/project.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { codeBlocks, documentPaths } from './documents.ts'

/** The project's own tsconfig leads the names of the packages to their sources. */
const tsconfig = {
  extends: join(projectFolder, 'tsconfig.json'),
  compilerOptions: {
    types: ['node'],
    typeRoots: [join(projectFolder, 'node_modules/@types')],
  },
  include: ['*.ts'],
  exclude: [],
}

/** Fails to compile unless the names above lead to the real types. */
const wrongUse = `import { createVerifier } from '@gatepass/verifier'
// @ts-expect-error: to accept any audience takes an explicit null
createVerifier({ issuer: 'https://auth.example.com' })
import { gatepassAuth } from '@gatepass/verifier/fastify'
import Fastify from 'fastify'
// @ts-expect-error: there is no such demand
Fastify().register(gatepassAuth).get('/', { config: { auth: { scopes: 'a' } } }, () => '')
`

t.test('every TypeScript example compiles', async (t) => {
  // Within the project, so that fastify is found as an application finds it.
  const files = { 'tsconfig.json': JSON.stringify(tsconfig), 'wrong-use.ts': wrongUse }
  const folder = createTestFolder(t, files, join(projectFolder, '.tap'))
  let count = 0
  for (const path of documentPaths) {
    const examples = codeBlocks(readProjectFile(path)).filter(({ language }) => language === 'ts')
    for (const { text, linesBefore } of examples) {
      count += 1
      // Errors are reported with the line that they have in the document.
      const name = `${path.replaceAll('/', '-')}-${count}.ts`
      writeFileSync(join(folder, name), '\n'.repeat(linesBefore) + text)
    }
  }
  t.ok(count > 5, `there are ${count}`)
  const tsc = join(projectFolder, 'node_modules/typescript/lib/tsc.js')
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [tsc, '-p', folder, '--checkers', '1'],
    {
      encoding: 'utf8',
    },
  )
  t.equal(stdout + stderr, '')
  t.equal(status, 0)
})
