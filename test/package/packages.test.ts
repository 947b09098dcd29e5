import { readdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadPage } from '../playground/pages.ts'
import { startDev } from '../support/dev.ts'
import { run } from '../support/processes.ts'
import { readProjectFile } from '../support/project.ts'
import { runtime } from '../support/runtimes.ts'
import { createTestFolder } from '../support/test-folder.ts'
import { Consumer, packAll } from './consumer.ts'

/** Packs the packages, installs them in empty projects, compiles against them and runs them. */

const folder = createTestFolder(t, {}, tmpdir())
const tarballs = await packAll(t, folder)

function tarball(name: string): string {
  const path = tarballs.get(name)
  if (path === undefined) throw new Error(`npm run pack made no ${name}`)
  return path
}

/** A project with packages that need nothing from a registry but their peers, which a test links. */
async function offline(t: Test, files: string, ...names: readonly string[]): Promise<Consumer> {
  const consumer = new Consumer(t, join(createTestFolder(t), 'consumer'), files)
  await consumer.install('--offline', '--legacy-peer-deps', ...names.map(tarball))
  return consumer
}

/** An older compiler may not read those of an internal module. */
function declarationsOf({ folder }: Consumer, name: string): string[] {
  const dist = join(folder, 'node_modules', name, 'dist')
  const files = readdirSync(dist, { encoding: 'utf8', recursive: true })
  return files.filter((file) => file.endsWith('.d.ts')).sort()
}

/** Each way in which TypeScript resolves packages. `.mts` imports, and `.cts` requires. */
const resolutions = [
  ['use.mts', 'use.cts', '--module', 'node16'],
  ['use.mts', 'use.cts', '--module', 'nodenext'],
  ['use.ts', '--module', 'preserve', '--moduleResolution', 'bundler'],
] as const

t.test('there are four packages, and they hold the build alone', async (t) => {
  t.same([...tarballs.keys()].sort(), [
    'gatepass',
    'gatepass-browser',
    'gatepass-session-data',
    'gatepass-verifier',
  ])
  for (const [name, path] of tarballs) {
    const { stdout } = await run(t, ['-tzf', path], { command: ['tar'], cwd: folder })
    const files = stdout.trim().split('\n')
    const expected =
      name === 'gatepass'
        ? /^package\/(package\.json|LICENSE|README\.md|CHANGELOG\.md|docs\/.*|dist\/.*\.js|dist\/(playground\/(page|third-party)|http\/pages)\/\w+\.(html|css|svg))$/
        : /^package\/(package\.json|LICENSE|README\.md|cjs\/package\.json|(dist|cjs)\/.*\.(js|d\.ts))$/
    t.same(
      files.filter((file) => !expected.test(file)),
      [],
      name,
    )
    for (const file of ['LICENSE', 'README.md']) t.ok(files.includes(`package/${file}`), file)
  }
})

t.test('@gatepass/verifier', async (t) => {
  const consumer = await offline(t, 'verifier', 'gatepass-verifier')
  const { check: _, expected } = await import(join(consumer.folder, 'check.cjs'))

  t.test('brings one package', async (t) => {
    t.same(consumer.installed(), ['@gatepass/verifier'])
  })

  t.test('is one module for `import` and `require()`', async (t) => {
    const output = JSON.parse(await consumer.node('run.mjs'))
    t.same(output, { imported: expected, required: expected, isOne: true })
    const { stdout } = await run(t, ['run.mjs'], { command: [runtime.bun()], cwd: consumer.folder })
    t.same(JSON.parse(stdout), output, 'on Bun, too')
  })

  t.test('loads nothing but its own modules and those of Node', async (t) => {
    const urls: string[] = JSON.parse(await consumer.node('trace.mjs'))
    const packages = urls.map(
      (url) => /.*\/node_modules\/((@[^/]+\/)?[^/]+)\//.exec(url)?.[1] ?? url,
    )
    const foreign = packages.filter((name) => !name.startsWith('node:'))
    t.same([...new Set(foreign)], ['@gatepass/verifier'])
  })

  t.test('a module that is not exported cannot be imported', async (t) => {
    const path = '@gatepass/verifier/dist/verifier/index.js'
    const program = `import('${path}').catch((error) => console.log(error.code))`
    const code = await consumer.node('--input-type=module', '--eval', program)
    t.equal(code.trim(), 'ERR_PACKAGE_PATH_NOT_EXPORTED')
  })

  t.test('works in a test of Jest, which cannot require an ES module', async () => {
    await consumer.program('jest/bin/jest.js', '--rootDir', '.', '--testMatch', '**/jest.test.js')
  })

  t.test('works in a test of Vitest', async () => {
    consumer.link('vitest')
    await consumer.program('vitest/vitest.mjs', 'run', 'vitest.test.mjs')
  })

  t.test('type-checks without @types/node', async (t) => {
    consumer.copy('use.ts', 'use.mts')
    consumer.copy('use.ts', 'use.cts')
    for (const args of resolutions) t.equal(await consumer.compile(...args), '', args.join(' '))
  })

  t.test('types request.auth of Express', async (t) => {
    consumer.link('@types/express', 'express')
    // Its types are linked alone, so a declaration could not name those of other packages.
    const args = ['--module', 'nodenext', '--skipLibCheck', '--declaration', 'false']
    t.equal(await consumer.compile(...args, 'express.ts'), '')
  })
})

t.test('@gatepass/browser', async (t) => {
  const consumer = await offline(t, 'browser', 'gatepass-browser')
  t.same(consumer.installed(), ['@gatepass/browser'])
  t.same(declarationsOf(consumer, '@gatepass/browser'), [
    'browser/index.d.ts',
    'browser/issuer-calls.d.ts',
    'browser/redirect.d.ts',
    'browser/types.d.ts',
    'core/errors.d.ts',
  ])
  consumer.copy('use.ts', 'use.mts')
  for (const args of resolutions) {
    const imports = args.filter((arg) => arg !== 'use.cts')
    t.equal(await consumer.compile(...imports), '', imports.join(' '))
  }
  t.equal((await consumer.node('use.mts')).trim(), 'unknown')
  for (const file of ['gatepass.min.js', 'gatepass.script.js']) {
    const program = `console.log(require.resolve('@gatepass/browser/${file}'))`
    const path = (await consumer.node('--eval', program)).trim()
    t.ok(readFileSync(path).length > 0, file)
  }
})

t.test('@gatepass/session-data', async (t) => {
  const consumer = await offline(t, 'session-data', 'gatepass-verifier', 'gatepass-session-data')

  t.test('brings no driver', async (t) => {
    t.same(consumer.installed().sort(), ['@gatepass/session-data', '@gatepass/verifier'])
  })

  t.test('has no declarations of internal modules', async (t) => {
    t.same(declarationsOf(consumer, '@gatepass/session-data'), [
      'core/clock.d.ts',
      'data/data-service.d.ts',
      'data/fastify.d.ts',
      'data/typed-fields.d.ts',
      'stores/data-store.d.ts',
    ])
  })

  t.test('declares each package that it imports, as pnpm and Yarn demand', async (t) => {
    const place = join(consumer.folder, 'node_modules/@gatepass/session-data')
    const { dependencies, peerDependencies, peerDependenciesMeta } = JSON.parse(
      readFileSync(join(place, 'package.json'), 'utf8'),
    )
    t.equal(dependencies, undefined, 'pnpm would not take the archive')
    t.same(Object.keys(peerDependenciesMeta), ['@redis/client'], 'it works without Redis alone')
    const imported = readdirSync(join(place, 'dist'), { encoding: 'utf8', recursive: true })
      .filter((path) => path.endsWith('.js'))
      .map((path) => readFileSync(join(place, 'dist', path), 'utf8'))
      .flatMap((text) => [...text.matchAll(/^import .*'((?:@[\w-]+\/)?[\w-]+)(?:\/.*)?';?$/gm)])
      .map(([, name]) => name)
    const declared = Object.keys(peerDependencies)
    t.same([...new Set(imported)].sort(), declared.filter((name) => name !== 'fastify').sort())
  })

  consumer.link('fastify', 'jose', 'zod', '@types/node')

  t.test('a program compiles against it, and mistakes do not', async (t) => {
    const output = await consumer.compile('--project', '.')
    const found = [...output.matchAll(/^(\S+)\((\d+),\d+\): error (TS\d+)/gm)]
    const lines = readFileSync(join(consumer.folder, 'must-not-compile.mts'), 'utf8').split('\n')
    const expected = lines.flatMap((line, index) => {
      const code = / \/\/ (TS\d+)$/.exec(line)?.[1]
      return code === undefined ? [] : [`must-not-compile.mts:${index + 1} ${code}`]
    })
    t.same(
      found.map(([, file, line, code]) => `${file}:${line} ${code}`),
      expected,
    )
  })

  t.test('the program runs', async (t) => {
    t.same(JSON.parse(await consumer.node('ok.mts')), {
      sub: 'ada',
      refused: 'token_signature',
      statuses: [200, 403, 200, 401],
      orders: { user: 'ada' },
      others: ['function', 'ada'],
      theme: { before: 'light', after: 'dark' },
    })
  })

  t.test('the bundle of the documentation runs', async (t) => {
    const [, args = ''] =
      /^\$ esbuild app\.mjs (.*)$/m.exec(readProjectFile('docs/library.md')) ?? []
    await consumer.program('esbuild/bin/esbuild', 'ok.mts', ...args.split(' '))
    t.match(JSON.parse(await consumer.node('dist/ok.js')), { statuses: [200, 403, 200, 401] })
  })

  t.test('its errors are those of the verifier', async (t) => {
    const output = JSON.parse(await consumer.node('errors.mjs'))
    t.same(output, { isOne: true, code: 'config_invalid' })
  })

  t.test('without its driver, Redis is an error at the start', async (t) => {
    const program = `import('@gatepass/session-data')
      .then(({ gatepassData }) => gatepassData({ log: {}, addHook() {}, decorateRequest() {} },
        { store: 'redis://localhost', secrets: ['s'.repeat(32)], fields: {} }))
      .catch((error) => console.log(error.message))`
    t.match(await consumer.node('--eval', program), /@redis\/client/)
  })
})

t.test('gatepass', async (t) => {
  const consumer = new Consumer(t, join(folder, 'service'))
  await consumer.install(tarball('gatepass'))

  t.test('has the command', async (t) => {
    const output = await consumer.node('node_modules/.bin/gatepass', '--help')
    t.match(output, /^Usage: gatepass/)
  })

  t.test('`gatepass dev` serves the playground, without the shop', async (t) => {
    const command = [process.execPath, 'node_modules/gatepass/dist/cli/main.js']
    const { dev, issuer } = await startDev(t, { cwd: consumer.folder, command, hasShop: false })
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
})
