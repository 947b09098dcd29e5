import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadPage } from '../playground/pages.ts'
import { startDev } from '../support/dev.ts'
import { machineEnv, run } from '../support/processes.ts'
import { outsideFolder, projectFiles, projectFolder, readProjectFile } from '../support/project.ts'

/** The package as others get it: packed, installed elsewhere, compiled against and run. */

const folder = outsideFolder(t)
const consumer = join(folder, 'consumer')
const installed = join(consumer, 'node_modules/gatepass')

/** Runs a command in the folder of the consumer; it must work. */
async function inConsumer(...command: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(t, [], { command, cwd: consumer })
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}:\n${stdout}${stderr}`)
  return stdout
}

async function npm(cwd: string, ...args: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await run(t, args, { command: ['npm'], cwd, env: machineEnv })
  if (code !== 0) throw new Error(`npm ${args.join(' ')} ended with ${code}:\n${stdout}${stderr}`)
}

/** Packs a copy, as packing builds `dist`; gives the path of the tarball. */
async function pack(): Promise<string> {
  const copy = join(folder, 'project')
  for (const file of projectFiles()) cpSync(join(projectFolder, file), join(copy, file))
  symlinkSync(join(projectFolder, 'node_modules'), join(copy, 'node_modules'))
  await npm(copy, 'pack', '--pack-destination', folder)
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'))
  if (tarball === undefined) throw new Error('npm pack made no tarball')
  return join(folder, tarball)
}

async function install(tarball: string): Promise<void> {
  mkdirSync(consumer)
  writeFileSync(join(consumer, 'package.json'), '{ "private": true, "type": "module" }')
  await npm(consumer, 'install', tarball, '--ignore-scripts', '--no-audit', '--no-fund')
  mkdirSync(join(consumer, 'node_modules/@types'), { recursive: true })
  for (const name of ['typescript', '@types/node']) {
    symlinkSync(join(projectFolder, 'node_modules', name), join(consumer, 'node_modules', name))
  }
  cpSync(join(projectFolder, 'test/package/consumer'), consumer, { recursive: true })
}

const tarball = await pack()
await install(tarball)

t.test('the tarball holds the build, and no sources, tests or tools', async (t) => {
  const { stdout } = await run(t, ['-tzf', tarball], { command: ['tar'], cwd: folder })
  const files = stdout.trim().split('\n')
  const expected =
    /^package\/(package\.json|LICENSE|README\.md|CHANGELOG\.md|docs\/.*|dist\/.*\.(js|d\.ts)|dist\/playground\/page\/\w+\.(html|css|svg))$/
  t.same(
    files.filter((file) => !expected.test(file)),
    [],
  )
  for (const name of ['LICENSE', 'README.md', 'dist/cli/main.js']) {
    t.ok(files.includes(`package/${name}`), name)
  }
})

t.test('every entry point is there', async (t) => {
  const { exports, bin } = JSON.parse(readProjectFile('package.json'))
  const targets = Object.values({ ...exports, ...bin }).flatMap((target) => {
    if (typeof target === 'string') return [target]
    // For the examples in this repository, which import the package by its name.
    const { 'gatepass-source': _, ...published } = target as Record<string, string>
    return Object.values(published)
  })
  for (const target of targets) t.ok(readFileSync(join(installed, target)).length > 0, target)
})

t.test('a program compiles against it, and mistakes do not', async (t) => {
  const { stdout } = await run(t, ['--project', '.'], {
    command: ['node_modules/typescript/bin/tsc'],
    cwd: consumer,
  })
  const found = [...stdout.matchAll(/^(\S+)\((\d+),\d+\): error (TS\d+)/gm)]
  const lines = readFileSync(join(consumer, 'must-not-compile.ts'), 'utf8').split('\n')
  const expected = lines.flatMap((line, index) => {
    const code = / \/\/ (TS\d+)$/.exec(line)?.[1]
    return code === undefined ? [] : [`must-not-compile.ts:${index + 1} ${code}`]
  })
  t.same(
    found.map(([, file, line, code]) => `${file}:${line} ${code}`),
    expected,
  )
})

t.test('the program runs', async (t) => {
  t.same(JSON.parse(await inConsumer('node', 'ok.ts')), {
    sub: 'ada',
    refused: 'token_signature',
    statuses: [200, 403, 200, 401],
    orders: { user: 'ada' },
    others: ['function', 'ada', 'unknown'],
    theme: { before: 'light', after: 'dark' },
  })
})

t.test('the verifier brings no framework, no logger, no store and no settings along', async (t) => {
  const urls: string[] = JSON.parse(await inConsumer('node', 'trace.ts'))
  const packages = urls.map((url) => /.*\/node_modules\/((@[^/]+\/)?[^/]+)\//.exec(url)?.[1] ?? url)
  const foreign = packages.filter((name) => !name.startsWith('node:'))
  t.same([...new Set(foreign)], ['gatepass'])
  const folders = urls.map((url) => /\/gatepass\/dist\/([^/]+)/.exec(url)?.[1])
  t.same([...new Set(folders.filter((name) => name !== undefined))].sort(), [
    'core',
    'tokens',
    'verifier',
  ])
})

t.test('the command is there', async (t) => {
  t.match(await inConsumer('node_modules/.bin/gatepass', '--help'), /^Usage: gatepass/)
})

t.test('`gatepass dev` serves the playground, without the shop', async (t) => {
  const command = [process.execPath, 'node_modules/gatepass/dist/cli/main.js']
  const { dev, issuer } = await startDev(t, { cwd: consumer, command })
  const loaded = await loadPage(async (path) => {
    const answer = await fetch(`${issuer}${path}`)
    const type = answer.headers.get('content-type') ?? ''
    return { status: answer.status, type, text: await answer.text() }
  })
  for (const [path, { status }] of loaded) t.equal(status, 200, path)
  t.ok([...loaded.keys()].some((path) => path.endsWith('/browser/index.js')))
  const state = await fetch(`${issuer}/playground/state`, { headers: { origin: issuer } })
  t.match(await state.json(), { kinds: ['verifier'] })
  t.equal(await dev.stop('SIGINT'), 0)
  t.equal(dev.stderr, '')
})

t.test('what is not exported cannot be imported', async (t) => {
  for (const path of ['gatepass/dist/verifier/index.js', 'gatepass/src/core/errors.ts']) {
    const program = `import('${path}').catch((error) => console.log(error.code))`
    const code = await inConsumer('node', '--input-type=module', '--eval', program)
    t.equal(code.trim(), 'ERR_PACKAGE_PATH_NOT_EXPORTED', path)
  }
})
