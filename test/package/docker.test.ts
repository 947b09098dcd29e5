import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t, { type Test } from 'tap'
import { freePort } from '../../scripts/free-port.ts'
import { settings } from '../../src/config/settings.ts'
import { codeBlocks } from '../docs/documents.ts'
import { password } from '../support/accounts.ts'
import { build, type Image, withoutIgnored } from '../support/dockerfile.ts'
import { postJson } from '../support/post-json.ts'
import { run, TestProcess, untilStatus } from '../support/processes.ts'
import { projectFiles, projectFolder, readManifest, readProjectFile } from '../support/project.ts'
import { keyRotation } from '../support/services.ts'
import { createTestFolder } from '../support/test-folder.ts'

/** Builds the Dockerfile and starts its programs without a container engine. */

interface Lock {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>
}

const folder = createTestFolder(t, {}, tmpdir())
const image = buildImage(join(folder, 'build'))

function buildImage(buildFolder: string): Image {
  const context = join(folder, 'context')
  for (const file of withoutIgnored(projectFiles(), readProjectFile('.dockerignore'))) {
    cpSync(join(projectFolder, file), join(context, file))
  }
  mkdirSync(buildFolder)
  return build(readProjectFile('Dockerfile'), context, buildFolder)
}

/** Starts the entry point with arguments. As root, it runs as the user of the image. */
function start(t: Test, args: readonly string[], env: Record<string, string>): TestProcess {
  const [uid = 0, gid = 0] = image.user.split(':').map(Number)
  return TestProcess.start(t, args, {
    command: image.entrypoint,
    cwd: image.path('.'),
    env: { ...image.env, GATEPASS_DRAIN_S: '0', ...env },
    ...(process.getuid?.() === 0 && { user: { uid, gid } }),
  })
}

/** Each file outside of the volumes, with its size, time and mode, to detect writes. */
function fixedFiles(): string[] {
  const volumes = image.volumes.map((volume) => image.path(volume))
  return readdirSync(image.root, { recursive: true, encoding: 'utf8' })
    .map((path) => join(image.root, path))
    .filter((path) => !volumes.some((volume) => path.startsWith(volume)))
    .map((path) => {
      const { size, mtimeMs, mode } = lstatSync(path)
      return [path, size, mtimeMs, mode].join(' ')
    })
}

function healthOf(t: Test, env: Record<string, string>): Promise<number | string> {
  return TestProcess.start(t, [], {
    command: image.healthcheck,
    cwd: image.path('.'),
    env: { ...image.env, ...env },
  }).exited
}

t.test('the build context holds what the build needs, and nothing else', async (t) => {
  const files = withoutIgnored(projectFiles(), readProjectFile('.dockerignore'))
  const tops = new Set(files.map((file) => file.split('/')[0]))
  const projects = ['', '.build', '.page', '.page-build'].map((name) => `tsconfig${name}.json`)
  const others = ['LICENSE', 'package-lock.json', 'package.json', 'scripts', 'src']
  t.same([...tops].sort(), [...others, ...projects].sort())
})

t.test('the image holds no development dependency, and every other', async (t) => {
  const { packages } = JSON.parse(readProjectFile('package-lock.json')) as Lock
  const onlyForDevelopment = Object.keys(packages).filter((path) => packages[path]?.dev)
  const has = (path: string) => existsSync(image.path(join('/app', path)))
  t.ok(onlyForDevelopment.includes('node_modules/typescript'))
  t.same(onlyForDevelopment.filter(has), [])
  const needed = Object.keys(readManifest().dependencies).map((name) => `node_modules/${name}`)
  t.same(needed.filter(has), needed)
})

t.test('the image holds the build and no sources', async (t) => {
  const names = readdirSync(image.path('/app'))
  t.same(names.sort(), ['LICENSE', 'dist', 'node_modules', 'package.json'])
})

t.test('the image does not run as root', async (t) => {
  // Kubernetes can check a number only.
  t.match(image.user, /^[1-9]\d*:[1-9]\d*$/)
})

t.test('the image says what it is', async (t) => {
  const { description, license } = JSON.parse(readProjectFile('package.json'))
  t.same(image.labels, {
    'org.opencontainers.image.title': 'Gatepass',
    'org.opencontainers.image.description': description,
    'org.opencontainers.image.licenses': license,
  })
})

t.test('issuer and verifier run, are healthy, write to the volume only, and stop', async (t) => {
  const before = fixedFiles()
  const [issuerAdmin, verifierAdmin] = [await freePort(), await freePort()]
  const at = { GATEPASS_PORT: '0', GATEPASS_ADMIN_PORT: String(issuerAdmin) }
  const issuerEnv = { ...keyRotation, ...at }
  const secret = 's'.repeat(32)
  const issuer = start(t, image.cmd, { ...issuerEnv, GATEPASS_SECRET: secret })
  const { url } = await issuer.ready()
  const jwksUrl = `${url}/.well-known/jwks.json`

  const verifierEnv = { GATEPASS_PORT: '0', GATEPASS_ADMIN_PORT: String(verifierAdmin) }
  const ownEnv = { GATEPASS_JWKS_URL: jwksUrl, GATEPASS_DATA_SECRET: secret }
  const verifier = start(t, ['verifier'], { ...verifierEnv, ...ownEnv })
  await verifier.ready()

  await untilStatus(`http://127.0.0.1:${issuerAdmin}/readyz`, 200)
  await untilStatus(`http://127.0.0.1:${verifierAdmin}/readyz`, 200)
  t.equal(await healthOf(t, issuerEnv), 0)
  t.equal(await healthOf(t, verifierEnv), 0)
  const { keys } = (await (await fetch(jwksUrl)).json()) as { keys: unknown[] }
  t.equal(keys.length, 1)

  t.equal(await issuer.stop(), 0, issuer.stderr)
  t.equal(await verifier.stop(), 0, verifier.stderr)
  t.equal(await healthOf(t, issuerEnv), 1, 'what does not run is not healthy')
  t.same(fixedFiles(), before)
  const written = readdirSync(image.path('/data/.gatepass'))
  t.strictSame(
    ['accounts.db', 'data.db', 'sessions.db'].filter((name) => !written.includes(name)),
    [],
  )
})

t.test('worker processes, password hashing and commands run from the bundle', async (t) => {
  t.ok(existsSync(image.path('/app/dist/cli/package-redis-client.cjs')))
  const secret = { GATEPASS_SECRET: 's'.repeat(32) }
  const env = { ...image.env, ...secret }
  const command = [...image.entrypoint]
  const cwd = image.path('.')
  await run(t, ['users', 'add', 'ada'], { command, cwd, env, input: password })
  const ports = { GATEPASS_PORT: '0', GATEPASS_ADMIN_PORT: '0', GATEPASS_WORKERS: '2' }
  // The command above wrote its files as the user of this test.
  const issuer = TestProcess.start(t, image.cmd, {
    command,
    cwd,
    env: { ...env, ...ports, GATEPASS_DRAIN_S: '0' },
  })
  const { url } = await issuer.ready()
  t.equal((await postJson(`${url}/login`, { username: 'ada', password })).status, 200)
  t.equal(await issuer.stop(), 0, issuer.stderr)
})

t.test('the documented backup in a container holds the accounts', async (t) => {
  const where = { cwd: image.path('.'), env: image.env }
  const add = ['users', 'add', 'grace', '--generate-password']
  await run(t, add, { ...where, command: image.entrypoint })
  const documented = codeBlocks(readProjectFile('docs/operations.md')).filter(({ text }) =>
    text.includes('$ (umask 077; node'),
  )
  const script = documented.map(({ text }) => text.replaceAll(/^\$ /gm, '')).join('')
  const backUp = () => run(t, ['-c', script], { ...where, command: ['sh'] })
  t.match(await backUp(), { code: 0, stderr: '' })
  // The second backup fails, after an interrupted one.
  writeFileSync(join(where.cwd, 'accounts-backup.db.new'), 'half a copy')
  renameSync(join(where.cwd, '.gatepass'), join(where.cwd, 'gone'))
  t.not((await backUp()).code, 0)
  renameSync(join(where.cwd, 'gone'), join(where.cwd, '.gatepass'))
  const backup = new DatabaseSync(join(where.cwd, 'accounts-backup.db'), { readOnly: true })
  const rows = backup.prepare('SELECT login_name FROM accounts').all()
  backup.close()
  t.ok(rows.some(({ login_name }) => login_name === 'grace'))
})

t.test('V8 uses the saved code with the options of the image', async (t) => {
  // The flag of main.ts, which V8 compares as well.
  const print = `
    require('node:v8').setFlagsFromString('--no-allocation-site-pretenuring')
    import('./dist/cli/program.js').then(({ script }) => console.log(script.cachedDataRejected))`
  for (const role of ['issuer', 'verifier']) {
    const run = TestProcess.start(t, [], {
      command: ['node', '-e', print, role],
      cwd: image.path('/app'),
      env: image.env,
    })
    t.equal(await run.exited, 0, run.stderr)
    t.equal(run.stdout, 'false\n', role)
  }
})

t.test('V8 keeps the space for young objects small, however many of them stay', async (t) => {
  const fill = `
    const kept = Array.from({ length: 2_000_000 }, (_, n) => ({ n }))
    const spaces = require('node:v8').getHeapSpaceStatistics()
    console.log(spaces.find((space) => space.space_name === 'new_space').space_size / 1024 ** 2, kept.length)`
  const run = TestProcess.start(t, [], {
    command: ['node', '-e', fill],
    cwd: image.path('.'),
    env: image.env,
  })
  t.equal(await run.exited, 0, run.stderr)
  t.ok(Number.parseFloat(run.stdout) <= 2 * 2, run.stdout)
})

t.test('without GATEPASS_ADMIN_PORT the health check asks the ports of both roles', async (t) => {
  const printFetch = 'globalThis.fetch = async (url) => (console.log(url), { ok: false })'
  const check = TestProcess.start(t, [], {
    command: image.healthcheck,
    cwd: image.path('.'),
    env: { ...image.env, NODE_OPTIONS: `--import="data:text/javascript,${printFetch}"` },
  })
  t.equal(await check.exited, 1)
  const { defaultByRole } = settings.find(({ name }) => name === 'admin_port') ?? {}
  const asked = Object.values(defaultByRole ?? {}).map((port) => `http://127.0.0.1:${port}/livez\n`)
  t.same(check.stdout, asked.join(''))
})
