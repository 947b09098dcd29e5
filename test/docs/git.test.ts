import { spawnSync } from 'node:child_process'
import t from 'tap'
import { gitOptions } from '../../scripts/project-files.ts'
import { projectFolder, readProjectFile } from '../support/project.ts'
import { codeBlocks, documentPaths } from './documents.ts'

/** The relative path that a command writes: `> secret`, `INTO 'backup.db'`, a new key file. */
const written = /(?:(?<!\d)>|INTO|keys encryption) +'?((?!\/)[\w./-]+)/g

t.test('git ignores every file that a command of the documentation makes', async (t) => {
  const consoles = documentPaths
    .flatMap((path) => codeBlocks(readProjectFile(path)))
    .filter(({ language }) => language === 'console')
  const commands = consoles.flatMap(({ text }) => text.match(/^\$ .*$/gm) ?? [])
  const names = commands.flatMap((line) => [...line.matchAll(written)].map(([, name = '']) => name))
  for (const name of ['secret', 'accounts-backup.db.new', 'api-key.json'])
    t.ok(names.includes(name))
  for (const name of new Set(names)) {
    const { status } = spawnSync(
      'git',
      [...gitOptions, 'check-ignore', '--no-index', '--quiet', name],
      { cwd: projectFolder },
    )
    t.equal(status, 0, name)
  }
})
