/**
 * Fills dist/compile-cache, the compile cache of the image: starts each service once, asks it once and
 * stops it. A cache is valid for one user id, one version of Node and one set of V8 options.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { ReadyMessage } from '../src/cli/shutdown.ts'

const [folder = join(import.meta.dirname, '../dist')] = process.argv.slice(2)
const dist = resolve(folder)
const timeoutMs = 30_000
/** One answered request of each role. */
const questions = { issuer: '/.well-known/jwks.json', verifier: '/verify' }

mkdirSync(join(dist, 'compile-cache'), { recursive: true })
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
      ...{ PATH, NODE_OPTIONS, GATEPASS_HOST: '127.0.0.1', GATEPASS_DRAIN_S: '0' },
      ...{ GATEPASS_PORT: '0', GATEPASS_ADMIN_PORT: '0', GATEPASS_SECRET: 'warm-up-'.repeat(4) },
    },
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    timeout: timeoutMs,
  })
  const exited = once(service, 'exit')
  const ready = once(service, 'message') as Promise<[ReadyMessage]>
  const [first] = await Promise.race([ready, exited])
  if (typeof first !== 'object' || first === null) throw new Error(`The ${role} does not start.`)
  await (await fetch(`http://127.0.0.1:${first.port}${path}`)).arrayBuffer()
  service.kill('SIGTERM')
  const [code] = await exited
  if (code !== 0) throw new Error(`The ${role} ended with ${code}.`)
}
