import t from 'tap'
import { codeBlocks } from '../docs/documents.ts'
import { runCommand } from '../support/commands.ts'
import { run, TestProcess } from '../support/processes.ts'
import { readProjectFile } from '../support/project.ts'
import { serviceEnv } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'

/** The program that the commands use; a machine need not have it. */
const sqlite3 = `sqlite3() {
  node -e 'new (require("node:sqlite").DatabaseSync)(process.argv[1]).exec(process.argv[2])' "$@"
}
`

/** The commands of a block in the documentation that contains this text. */
function documented(part: string): string {
  const found = codeBlocks(readProjectFile('docs/operations.md')).filter(({ text }) =>
    text.includes(part),
  )
  return found.map(({ text }) => text.replaceAll(/^\$ /gm, '')).join('')
}

t.test('a restore of the accounts brings back the backup, and nothing later', async (t) => {
  const cwd = createTestFolder(t)
  const env = serviceEnv
  const add = (name: string) =>
    runCommand(['users', 'add', name, '--generate-password'], { cwd, env })
  await add('ada')
  const issuer = TestProcess.start(t, ['issuer'], { cwd, env })
  await issuer.ready()
  const shell = (script: string) => run(t, ['-ec', script], { cwd, env: {}, command: ['sh'] })
  t.match(await shell(sqlite3 + documented('$ (umask 077; sqlite3')), { code: 0 })
  await add('bob')
  await issuer.stop('SIGKILL')
  t.match(await shell(documented('$ rm -f .gatepass/accounts')), { code: 0, stderr: /^$/ })
  const { stdout } = await runCommand(['users', 'list'], { cwd, env })
  t.match(stdout, /^ada /m)
  t.notMatch(stdout, /^bob /m)
})
