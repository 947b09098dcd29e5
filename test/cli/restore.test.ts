import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t from 'tap'
import { codeBlocks } from '../docs/documents.ts'
import { runCommand } from '../support/commands.ts'
import { run, TestProcess } from '../support/processes.ts'
import { readProjectFile } from '../support/project.ts'
import { createTestFolder } from '../support/test-folder.ts'

const env = {
  GATEPASS_SECRET: 'a-secret-of-at-least-thirty-two-characters',
  GATEPASS_PORT: '0',
  GATEPASS_ADMIN_PORT: '0',
  GATEPASS_ARGON2_MEMORY_KIB: '8',
}

/** The commands of a block in the documentation that begins with this text. */
function documented(beginning: string): string {
  const found = codeBlocks(readProjectFile('docs/operations.md')).filter(({ text }) =>
    text.startsWith(beginning),
  )
  return found.map(({ text }) => text.replaceAll(/^\$ /gm, '')).join('')
}

t.test('a restore of the accounts brings back the backup, and nothing later', async (t) => {
  const cwd = createTestFolder(t)
  const add = (name: string) =>
    runCommand(['users', 'add', name, '--generate-password'], { cwd, env })
  await add('ada')
  const issuer = TestProcess.start(t, ['issuer'], { cwd, env })
  await issuer.ready()
  const [statement = ''] = /VACUUM INTO '[^']+'/.exec(documented('$ (umask 077; sqlite3')) ?? []
  const live = new DatabaseSync(join(cwd, '.gatepass/accounts.db'))
  live.exec(statement.replace("INTO '", `INTO '${cwd}/`))
  live.close()
  const shell = (script: string) => run(t, ['-ec', script], { cwd, env: {}, command: ['sh'] })
  t.match(await shell(documented('$ (umask 077; sqlite3').replace(/^.*\n/, '')), { code: 0 })
  await add('bob')
  await issuer.stop('SIGKILL')
  t.match(await shell(documented('$ rm -f .gatepass/accounts')), { code: 0, stderr: '' })
  const { stdout } = await runCommand(['users', 'list'], { cwd, env })
  t.match(stdout, /^ada /m)
  t.notMatch(stdout, /^bob /m)
})
