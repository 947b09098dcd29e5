import t, { type Test } from 'tap'
import { freePort } from '../../../scripts/free-port.ts'
import { codeBlocks } from '../../docs/documents.ts'
import { run, TestProcess } from '../../support/processes.ts'
import { projectFolder, readProjectFile } from '../../support/project.ts'
import { createTestFolder } from '../../support/test-folder.ts'

/** The commands of each console block of the README, on ports that are free here. */
function commandBlocks(ports: Readonly<Record<string, number>>): string[][] {
  const blocks = codeBlocks(readProjectFile('examples/shop/README.md'))
  return blocks
    .filter(({ language }) => language === 'console')
    .map(({ text }) =>
      text
        .replaceAll(/\b4\d{3}\b/g, (port) => String(ports[port] ?? port))
        // The same program, without a parent that would outlive or be outlived.
        .replaceAll('npm run --silent gatepass --', 'node src/cli/main.ts')
        .split('\n')
        .filter((line) => line.startsWith('$ '))
        // The test has its own way to run a command in the background.
        .map((line) => line.slice(2).replace(/ &$/, '')),
    )
}

/** Settings for a slow machine that runs other services. */
function settingsIn(folder: string, issuerPort: number): Record<string, string> {
  return {
    HOME: folder,
    XDG_STATE_HOME: folder,
    GATEPASS_PORT: String(issuerPort),
    GATEPASS_ADMIN_PORT: '0',
    GATEPASS_ISSUER: `http://localhost:${issuerPort}`,
    // A machine that runs tests is a slow one.
    GATEPASS_DATA_DEADLINE_MS: '5000',
    GATEPASS_ARGON2_MEMORY_KIB: '8',
    GATEPASS_ARGON2_PASSES: '1',
  }
}

/** The variables that the first lines set, for all other commands. */
async function exportsOf(
  t: Test,
  lines: readonly string[],
  folder: string,
): Promise<Record<string, string>> {
  const names = lines.map((line) => /^export (\w+)=/.exec(line)?.[1] ?? '')
  const script = [...lines, ...names.map((name) => `echo "$${name}"`)].join('\n')
  const { stdout } = await run(t, ['-c', script], {
    cwd: projectFolder,
    command: ['sh'],
    env: { TMPDIR: folder },
  })
  const values = stdout.trim().split('\n')
  return Object.fromEntries(names.map((name, at) => [name, values[at] ?? '']))
}

t.test('the commands of the README work', async (t) => {
  const ports = { 4000: await freePort(), 4300: await freePort(), 4301: await freePort() }
  const [setUp = [], replicas = [], use = []] = commandBlocks(ports)
  const isExport = (line: string) => line.startsWith('export ')
  const folder = createTestFolder(t)
  const exported = await exportsOf(t, setUp.filter(isExport), folder)
  t.equal(exported.GATEPASS_DATA_SECRET?.length, 44)
  t.ok(exported.GATEPASS_KEYS_URL?.startsWith(`file:${folder}/`), 'files are temporary')
  const env = { ...settingsIn(folder, ports[4000]), ...exported }
  const where = { cwd: projectFolder, env, command: ['sh'] }
  const serve = (line: string) =>
    // Settings that come before a program are for env(1).
    TestProcess.start(t, ['-c', `exec env ${line}`], where).ready()

  const [addUser = '', issuer = ''] = setUp.filter((line) => !isExport(line))
  const added = await run(t, ['-c', addUser], where)
  t.match(added.stdout + added.stderr, /ada/)
  await serve(issuer)
  t.equal(replicas.length, 2)
  await Promise.all(replicas.map(serve))

  const used = await run(t, ['-ec', use.map((line) => `${line}; echo`).join('\n')], where)
  t.equal(used.code, 0, used.stderr)
  const answers = used.stdout.split('\n').filter((line) => line.startsWith('{'))
  const [mug, filled, cart, order, orders] = answers.map((line) => JSON.parse(line))
  t.match(mug, { id: 'mug', currency: 'EUR' })
  t.match(filled.items, [{ product: 'mug', quantity: 2 }])
  t.same(cart, filled, 'the other replica has it')
  t.match(order.lines, [{ product: 'mug', quantity: 2 }])
  t.same(orders, { orders: [order] })
})
