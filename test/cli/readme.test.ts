import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { freePort } from '../../scripts/free-port.ts'
import { codeBlocks } from '../docs/documents.ts'
import { freeBasePort, startDev } from '../support/dev.ts'
import { run, TestProcess } from '../support/processes.ts'
import { projectFolder, readProjectFile } from '../support/project.ts'
import { createTestFolder } from '../support/test-folder.ts'

/** The commands of the README, pasted in order into one shell, in a folder of their own. */

const base = await freeBasePort()
const ports: Readonly<Record<string, number>> = {
  ...Object.fromEntries([0, 100, 200].map((above) => [4000 + above, base + above])),
  4400: await freePort(),
  4401: await freePort(),
}

const MAIN = join(projectFolder, 'src/cli/main.ts')

/** Each command with its further lines, on ports that are free here. */
function commandsOf(text: string): string[] {
  const lines = text
    .replaceAll(/\b4\d{3}\b/g, (port) => String(ports[port] ?? port))
    // The same program, without a parent that would outlive or be outlived.
    .replaceAll('npm run --silent gatepass --', 'node "$MAIN"')
  return [...lines.matchAll(/^\$ ((?:.*\\\n)*.*)$/gm)].map(([, command = '']) => command)
}

const [trial = [], service = []] = codeBlocks(readProjectFile('README.md'))
  .filter(({ language }) => language === 'console')
  .map(({ text }) => commandsOf(text))

t.test('the commands of the README start a trial and a service in one folder', async (t) => {
  const cwd = createTestFolder(t)
  const where = { cwd, command: ['sh'], env: { GATEPASS_ARGON2_MEMORY_KIB: '8', MAIN } }
  const first = await startDev(t, { cwd, port: base, env: where.env })

  t.equal(trial[0], 'npm ci && npm start')
  const used = await run(t, ['-ec', trial.slice(1).join('\n')], where)
  t.equal(used.code, 0, used.stderr)
  t.equal(used.stdout.match(/^HTTP\/1\.1 200 OK/gm)?.length, 2, 'both verifiers accept the token')
  t.match(used.stdout, /^\{"access_token":"[^"]+"/m)
  t.match(used.stdout, /HTTP\/1\.1 204 No Content/)
  t.match(used.stdout, `set-cookie: gatepass-${base}=;`, 'a name of its own on localhost')

  // The last command is the service itself.
  const start = service.at(-1) ?? ''
  const setUp = service.slice(0, -1)
  const added = await run(t, ['-ec', setUp.join('\n')], where)
  t.match(added, { code: 0, stdout: /^\S+\n$/, stderr: /^Added ada / })
  const exported = setUp.filter((line) => line.startsWith('export '))
  const issuer = TestProcess.start(t, ['-ec', [...exported, `exec env ${start}`].join('\n')], where)
  t.equal((await issuer.ready()).port, ports[4400])
  t.ok(existsSync(join(cwd, 'keys')))
  t.equal(await first.dev.stop(), 0)

  // The other way round, in the shell that has the secret of the service.
  const env = { ...where.env, GATEPASS_SECRET_FILE: 'secret' }
  const { dev } = await startDev(t, { cwd, port: base, env })
  t.equal(await dev.stop(), 0)
  t.equal(await issuer.stop(), 0)
})
