import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { parse } from 'yaml'
import type { Role } from '../../src/config/setting.ts'
import { pairs, parseDockerfile } from '../support/dockerfile.ts'
import { freePort, run, TestProcess, untilStatus } from '../support/processes.ts'
import { outsideFolder, readProjectFile } from '../support/project.ts'

/** compose.yaml, read and run: its services from the sources, and nginx from this machine. */

export interface Service {
  readonly image: string
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly secrets?: readonly string[]
  readonly volumes?: readonly string[]
  readonly profiles?: readonly string[]
  readonly ports?: readonly string[]
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly healthcheck?: object
  readonly read_only?: boolean
  readonly cap_drop?: readonly string[]
  readonly security_opt?: readonly string[]
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>
  readonly secrets: Readonly<Record<string, { readonly file: string }>>
  readonly volumes: Readonly<Record<string, null>>
}

export const compose = parse(readProjectFile('compose.yaml'), { merge: true }) as Compose
export const nginxConf = readProjectFile('examples/compose/nginx.conf')

/** A service of ours: its role and all its settings, those of the image among them. */
export interface OwnService {
  readonly name: string
  readonly role: Role
  /** Where the others find it. */
  readonly address: string
  readonly env: Readonly<Record<string, string>>
}

const imageEnv = parseDockerfile(readProjectFile('Dockerfile'))
  .at(-1)
  ?.instructions.find(({ keyword }) => keyword === 'ENV')

export const ownServices: readonly OwnService[] = Object.entries(compose.services)
  .filter(([, { image }]) => image === 'gatepass')
  .map(([name, { command, environment }]) => {
    const role = command?.[0] === 'verifier' ? 'verifier' : 'issuer'
    const address = `${name}:${{ issuer: 4000, verifier: 4100 }[role]}`
    return { name, role, address, env: { ...pairs(imageEnv?.rest ?? ''), ...environment } }
  })

/** What stands in a text, and what the test has in its place. */
export type Replacements = Readonly<Record<string, string>>

export function replaceAll(text: string, replacements: Replacements): string {
  return Object.entries(replacements).reduce((text, pair) => text.replaceAll(...pair), text)
}

export function envOf(service: OwnService, replacements: Replacements): Record<string, string> {
  const env = Object.entries(service.env)
  return Object.fromEntries(env.map(([name, text]) => [name, replaceAll(text, replacements)]))
}

/** Folders in the place of what compose.yaml mounts. */
export function mountsIn(folder: string): Replacements {
  mkdirSync(join(folder, 'secrets'))
  for (const name of Object.keys(compose.secrets)) {
    writeFileSync(join(folder, 'secrets', name), `${'s'.repeat(64)}\n`)
  }
  return { '/run/secrets': join(folder, 'secrets'), '/data': join(folder, 'data') }
}

/** Starts nginx with the configuration of the example, all that it writes being in this folder. */
export function startNginx(
  t: Test,
  folder: string,
  replacements: Replacements,
  args: readonly string[] = [],
): TestProcess {
  const path = join(folder, 'nginx.conf')
  const files = { '/tmp/': `${folder}/`, '/dev/': `${folder}/` }
  writeFileSync(path, replaceAll(nginxConf, { ...files, ...replacements }))
  // One process, so that none is left behind when the test kills it.
  const directives = 'daemon off; master_process off;'
  return TestProcess.start(t, ['-c', path, '-e', `${folder}/stderr`, '-g', directives, ...args], {
    command: ['nginx'],
    cwd: folder,
    env: { PATH: `${process.env.PATH}:/usr/sbin` },
  })
}

/**
 * Starts all that compose.yaml runs by default, and adds a user.
 *
 * @param application the address of what nginx guards
 */
export async function startStack(t: Test, application: string) {
  const folder = outsideFolder(t)
  const [publicPort, demoPort] = [await freePort(), await freePort()]
  const replacements = { ...mountsIn(folder), 'localhost:8080': `localhost:${publicPort}` }
  const addresses: Record<string, string> = {}
  const envs: Record<string, Record<string, string>> = {}
  const running: Record<string, TestProcess> = {}

  async function startRole(role: Role): Promise<void> {
    const same = ownServices.filter((service) => service.role === role)
    await Promise.all(same.map((service) => start(service)))
  }

  async function start(service: OwnService): Promise<void> {
    const env = {
      ...envOf(service, { ...replacements, 'issuer:4000': addresses['issuer-1:4000'] ?? '' }),
      ...{ GATEPASS_HOST: '127.0.0.1', GATEPASS_PORT: '0', GATEPASS_ADMIN_PORT: '0' },
    }
    const process = TestProcess.start(t, [service.role], { cwd: folder, env })
    running[service.name] = process
    envs[service.name] = env
    const { port, adminPort } = await process.ready()
    addresses[service.address] = `127.0.0.1:${port}`
    await untilStatus(`http://127.0.0.1:${adminPort}/readyz`, 200)
  }

  await startRole('issuer')
  await startRole('verifier')
  running.nginx = startNginx(t, folder, {
    'listen 127.0.0.1:8081': `listen 127.0.0.1:${demoPort}`,
    'server 127.0.0.1:8081': `server ${application}`,
    'listen 8080': `listen 127.0.0.1:${publicPort}`,
    ...addresses,
  })
  const url = `http://localhost:${publicPort}`
  await untilStatus(`${url}/.well-known/jwks.json`, 200)

  const added = await run(t, ['users', 'add', 'ada', '--generate-password'], {
    cwd: folder,
    env: envs['issuer-1'] ?? {},
  })
  return { folder, url, demoPort, running, username: 'ada', password: added.stdout.trim() }
}
