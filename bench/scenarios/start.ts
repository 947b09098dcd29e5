import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ReadyMessage } from '../../src/cli/shutdown.ts'
import { processorTime_s, resident_mib } from '../harness/machine.ts'
import { type Environment, type ProcessSpec, startProcess } from '../harness/processes.ts'
import type { Bench, Readings, Scenario } from '../harness/scenario.ts'
import { newSecret } from '../issuer.ts'

/** From the start of a process to its first response, and its memory after some idle seconds. */

const idle_s = 5

/** The options of Node in the image (Dockerfile). */
const imageEnv = { NODE_OPTIONS: '--max-semi-space-size=2', MALLOC_ARENA_MAX: '1' }

const roles = {
  issuer: {
    path: '/.well-known/jwks.json',
    status: 200,
    env: { GATEPASS_SECRET: newSecret() },
  },
  /** Nothing listens on port 9. A request without a token is refused without keys. */
  verifier: {
    path: '/verify',
    status: 401,
    env: { GATEPASS_JWKS_URL: 'http://127.0.0.1:9/jwks.json' },
  },
}

type Role = keyof typeof roles

function startOf(role: Role): Scenario {
  return {
    name: `start-${role}`,
    title: `a fresh ${role}, until its first answer`,
    async ours(bench) {
      const { cli } = bench.revision
      const image = bundle(cli)
      return [
        startSubject('the package', role, cli, {}, bench),
        startSubject('the image: bundled, with a compile cache', role, image, imageEnv, bench),
      ]
    },
  }
}

/** Builds the program of the image from the package. @returns its main module */
function bundle(cli: string): string {
  const gatepass = join(dirname(cli), '../..')
  const copy = `${gatepass}-bundled`
  const dist = join(copy, 'dist')
  rmSync(copy, { recursive: true, force: true })
  cpSync(gatepass, copy, { recursive: true })
  for (const script of ['bundle', 'warm-up']) {
    const path = join(import.meta.dirname, `../../scripts/${script}.ts`)
    const env = { ...process.env, ...imageEnv }
    execFileSync(process.execPath, [path, dist], { stdio: 'inherit', env })
  }
  return join(dist, 'cli/main.js')
}

function startSubject(name: string, role: Role, cli: string, more: Environment, bench: Bench) {
  const cwd = mkdtempSync(join(bench.scratch, `${role}-`))
  const ports = { GATEPASS_PORT: '0', GATEPASS_ADMIN_PORT: '0', GATEPASS_DRAIN_S: '0' }
  const env = { ...roles[role].env, ...ports, ...more }
  const command = [process.execPath, cli, role]
  const spec = { name: role, command, core: 'server', cwd, env } as const
  let hasData = false
  return {
    name,
    async measure() {
      // The first start of an issuer creates its databases and its key.
      if (!hasData) await start(spec, roles[role], bench, 0)
      hasData = true
      return start(spec, roles[role], bench, idle_s)
    },
  }
}

async function start(
  spec: ProcessSpec,
  { path, status }: { readonly path: string; readonly status: number },
  bench: Bench,
  wait_s: number,
): Promise<Readings> {
  const startMs = performance.now()
  const service = startProcess(spec, bench)
  try {
    const { port } = await service.message<ReadyMessage>()
    const response = await fetch(`http://127.0.0.1:${port}${path}`)
    await response.arrayBuffer()
    const start_ms = performance.now() - startMs
    if (response.status !== status) throw new Error(`The ${spec.name} answered ${response.status}.`)
    const start_cpu_ms = processorTime_s(service.pid) * 1000
    await sleep(wait_s * 1000)
    return { start_ms, start_cpu_ms, resident_mib: resident_mib(service.pid) }
  } finally {
    await service.stop()
  }
}

export const coldStart: readonly Scenario[] = [startOf('issuer'), startOf('verifier')]
