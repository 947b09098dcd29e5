import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ReadyMessage } from '../../src/cli/shutdown.ts'
import { processorTime_s, resident_mib } from '../harness/machine.ts'
import { type Environment, startProcess } from '../harness/processes.ts'
import type { Bench, Readings, Scenario, Subject } from '../harness/scenario.ts'
import { newSecret } from '../issuer.ts'

/** From the start of a fresh process to its first answer, and its memory when it has been idle. */

const idle_s = 5

/** The options of Node in the image (Dockerfile). */
const imageEnv = { NODE_OPTIONS: '--max-semi-space-size=2', MALLOC_ARENA_MAX: '1' }

interface Role {
  readonly role: 'issuer' | 'verifier'
  readonly path: string
  readonly status: number
  readonly env: Environment
}

const issuer: Role = {
  role: 'issuer',
  path: '/.well-known/jwks.json',
  status: 200,
  env: { GATEPASS_SECRET: newSecret() },
}
/** Nobody listens on port 9, so the answer does not wait for keys: the request has no token. */
const verifier: Role = {
  role: 'verifier',
  path: '/verify',
  status: 401,
  env: { GATEPASS_JWKS_URL: 'http://127.0.0.1:9/jwks.json' },
}

function startOf(role: Role): Scenario {
  return {
    name: `start-${role.role}`,
    title: `a fresh ${role.role}, until its first answer`,
    async ours(bench) {
      const { cli } = bench.revision
      return [
        startSubject('the package', cli, role, bench),
        startSubject(
          'the image: bundled, with a compile cache',
          bundle(cli),
          { ...role, env: { ...role.env, ...imageEnv } },
          bench,
        ),
      ]
    },
  }
}

/** Makes the program of the image from that of the package, once. @returns its main module */
function bundle(cli: string): string {
  const gatepass = join(dirname(cli), '../..')
  const copy = `${gatepass}-bundled`
  const dist = join(copy, 'dist')
  if (!existsSync(copy)) {
    cpSync(gatepass, copy, { recursive: true })
    for (const script of ['bundle', 'warm-up']) {
      const path = join(import.meta.dirname, `../../scripts/${script}.ts`)
      const env = { ...process.env, ...imageEnv }
      execFileSync(process.execPath, [path, dist], { stdio: 'inherit', env })
    }
  }
  return join(dist, 'cli/main.js')
}

function startSubject(name: string, cli: string, role: Role, bench: Bench): Subject {
  const cwd = mkdtempSync(join(bench.scratch, `${role.role}-`))
  let hasData = false
  return {
    name,
    async measure() {
      // The first start of an issuer creates its databases and its key.
      if (!hasData) await start(cli, cwd, role, bench, 0)
      hasData = true
      return start(cli, cwd, role, bench, idle_s)
    },
  }
}

async function start(
  cli: string,
  cwd: string,
  { role, path, status, env }: Role,
  bench: Bench,
  wait_s: number,
): Promise<Readings> {
  const ports = { GATEPASS_PORT: '0', GATEPASS_ADMIN_PORT: '0', GATEPASS_DRAIN_S: '0' }
  const command = [process.execPath, cli, role]
  const startMs = performance.now()
  const service = startProcess(
    { name: role, command, core: 'server', cwd, env: { ...env, ...ports } },
    bench,
  )
  try {
    const { port } = await service.message<ReadyMessage>()
    const response = await fetch(`http://127.0.0.1:${port}${path}`)
    await response.arrayBuffer()
    const start_ms = performance.now() - startMs
    if (response.status !== status) throw new Error(`The ${role} answered ${response.status}.`)
    const start_cpu_ms = processorTime_s(service.pid) * 1000
    await sleep(wait_s * 1000)
    return { start_ms, start_cpu_ms, resident_mib: resident_mib(service.pid) }
  } finally {
    await service.stop()
  }
}

export const coldStart: readonly Scenario[] = [issuer, verifier].map(startOf)
