/**
 * Saves the compiled code of the image (bundle-loader.ts): starts each service once, asks it once, saves
 * what V8 has compiled, and stops it. The code is valid for one version of Node and one set of V8 options;
 * sizes of the heap do not matter.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { ReadyMessage } from '../src/cli/shutdown.ts'

const [folder = join(import.meta.dirname, '../dist')] = process.argv.slice(2)
const dist = resolve(folder)
const timeoutMs = 30_000
/** Runs in each service. */
const save = `
  import { writeFileSync } from 'node:fs'
  import { cachePath, script } from ${JSON.stringify(pathToFileURL(join(dist, 'cli/program.js')))}
  process.on('message', (message) => {
    if (message !== 'save') return
    writeFileSync(cachePath, script.createCachedData())
    process.send('saved')
  })`
/** One answered request of each role. */
const questions = { issuer: '/.well-known/jwks.json', verifier: '/verify' }

const cwd = mkdtempSync(join(tmpdir(), 'gatepass-warm-up-'))
try {
  for (const [role, path] of Object.entries(questions)) await startOnce(role, path)
} finally {
  rmSync(cwd, { recursive: true })
}

async function startOnce(role: string, path: string): Promise<void> {
  const { PATH, NODE_OPTIONS } = process.env
  const service = fork(join(dist, 'cli/main.js'), [role], {
    cwd,
    env: {
      PATH,
      NODE_OPTIONS,
      GATEPASS_HOST: '127.0.0.1',
      GATEPASS_DRAIN_S: '0',
      GATEPASS_PORT: '0',
      GATEPASS_ADMIN_PORT: '0',
      GATEPASS_SECRET: 'warm-up-'.repeat(4),
    },
    execArgv: ['--import', `data:text/javascript,${encodeURIComponent(save)}`],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    timeout: timeoutMs,
  })
  const exited = once(service, 'exit')
  const ready = once(service, 'message') as Promise<[ReadyMessage]>
  const [first] = await Promise.race([ready, exited])
  if (typeof first !== 'object' || first === null) throw new Error(`The ${role} does not start.`)
  await (await fetch(`http://127.0.0.1:${first.port}${path}`)).arrayBuffer()
  const saved = once(service, 'message')
  service.send('save')
  await Promise.race([saved, exited])
  service.kill('SIGTERM')
  const [code] = await exited
  if (code !== 0) throw new Error(`The ${role} ended with ${code}.`)
}
