import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { parse } from 'yaml'
import { freePort } from '../../scripts/free-port.ts'
import type { Role } from '../../src/config/settings.ts'
import { runCommand } from '../support/commands.ts'
import { pairs, parseDockerfile } from '../support/dockerfile.ts'
import { nginxCommand } from '../support/nginx.ts'
import { PostgresServer } from '../support/postgres.ts'
import { run, TestProcess, untilStatus } from '../support/processes.ts'
import { readProjectFile } from '../support/project.ts'
import { startRedis } from '../support/redis.ts'
import { type Replacements, replaceTexts } from '../support/replace-texts.ts'
import { createTestFolder } from '../support/test-folder.ts'

/** Reads and runs compose.yaml: our services from the sources, others with programs of this machine. */

export interface Service {
  readonly image: string
  readonly build?: string
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly secrets?: readonly string[]
  readonly volumes?: readonly string[]
  readonly ports?: readonly string[]
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly networks?: { readonly default: { readonly ipv4_address: string } }
  readonly healthcheck?: object
  readonly read_only?: boolean
  readonly cap_drop?: readonly string[]
  readonly security_opt?: readonly string[]
  readonly logging?: { readonly driver: string }
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>
  readonly secrets: Readonly<Record<string, { readonly file: string }>>
  readonly volumes: Readonly<Record<string, null>>
  readonly networks: {
    readonly default: {
      readonly ipam: {
        readonly config: readonly { readonly subnet: string; readonly ip_range: string }[]
      }
    }
  }
}

const composeText = readProjectFile('compose.yaml')
export const compose = parse(composeText, { merge: true }) as Compose
/** The network whose `X-Forwarded-For` the issuers trust. */
export const subnet = compose.networks.default.ipam.config[0]?.subnet ?? ''
export const nginxConf = readProjectFile('examples/compose/nginx.conf')

/** A service of ours: its role and all its settings, those of the image among them. */
export interface OwnService {
  readonly name: string
  readonly role: Role
  /** The address and port at which nginx calls it. */
  readonly address: string
  readonly env: Readonly<Record<string, string>>
}

const imageEnv = parseDockerfile(readProjectFile('Dockerfile'))
  .at(-1)
  ?.instructions.find(({ keyword }) => keyword === 'ENV')

export const ownServices: readonly OwnService[] = Object.entries(compose.services)
  .filter(([, { image }]) => image === 'gatepass')
  .map(([name, { command, environment, networks }]) => {
    const role = command?.[0] === 'verifier' ? 'verifier' : 'issuer'
    const address = `${networks?.default.ipv4_address}:${{ issuer: 4000, verifier: 4100 }[role]}`
    return { name, role, address, env: { ...pairs(imageEnv?.rest ?? ''), ...environment } }
  })

export function envOf(service: OwnService, replacements: Replacements): Record<string, string> {
  const env = Object.entries(service.env)
  return Object.fromEntries(env.map(([name, text]) => [name, replaceTexts(text, replacements)]))
}

/** The commands at the top of compose.yaml, up to those that need a container engine. */
const setUp = composeText
  .slice(0, composeText.indexOf('#   docker'))
  .matchAll(/^# {3}(.+)$/gm)
  .map(([, command]) => command)
  .toArray()
  .join('\n')

/** Creates the secrets as compose.yaml says, in a folder instead of the mount point. */
export async function mountSecrets(t: Test, folder: string) {
  const shell = ['sh', '-e', '-c', setUp]
  const { code, stderr } = await run(t, [], { command: shell, cwd: folder })
  if (code !== 0) throw new Error(`The secrets could not be made: ${stderr}`)
  const mounted = join(folder, 'secrets')
  mkdirSync(mounted)
  for (const [name, { file }] of Object.entries(compose.secrets)) {
    copyFileSync(join(folder, file), join(mounted, name))
  }
  return { '/run/secrets': mounted }
}

/** Starts the stores with the passwords in this folder, and makes the URLs there lead to them. */
async function startStores(t: Test, mounted: string): Promise<void> {
  const read = (name: string) => readFileSync(join(mounted, name), 'utf8').trim()
  const point = (name: string, host: string, port: number) =>
    writeFileSync(join(mounted, name), read(name).replace(`@${host}`, `@127.0.0.1:${port}`))
  const [postgres, redis] = await Promise.all([
    PostgresServer.start(t),
    startRedis(t, { password: read('redis_password') }),
  ])
  // As the image does it: the database has the name of its user.
  await postgres.query(`ALTER ROLE gatepass PASSWORD '${read('postgres_password')}'`)
  await postgres.query('CREATE DATABASE gatepass OWNER gatepass')
  point('postgres_url', 'postgres', postgres.port)
  point('redis_url', 'redis', redis.port)
}

/** Starts nginx with the configuration of the example, all that it writes being in this folder. */
export function startNginx(
  t: Test,
  folder: string,
  replacements: Replacements,
  args: readonly string[] = [],
): TestProcess {
  const path = join(folder, 'nginx.conf')
  const files = { '/tmp/': `${folder}/`, '/dev/std': `${folder}/std` }
  writeFileSync(path, replaceTexts(nginxConf, { ...files, ...replacements }))
  return TestProcess.start(t, args, { command: nginxCommand(folder), cwd: folder })
}

/** Shorter than compose.yaml has it, for a test that outlives it: a refresh rotates only then. */
export const graceMs = 3_000

/**
 * Starts all that compose.yaml runs, and adds a user.
 *
 * @param application the address of what nginx guards
 */
export async function startStack(t: Test, application: string) {
  const folder = createTestFolder(t)
  const [publicPort, demoPort] = [await freePort(), await freePort()]
  const secrets = await mountSecrets(t, folder)
  await startStores(t, secrets['/run/secrets'])
  const replacements = {
    ...secrets,
    [subnet]: '127.0.0.1',
    'localhost:8080': `localhost:${publicPort}`,
  }
  const addresses: Record<string, string> = {}
  const envs: Record<string, Record<string, string>> = {}
  const running: Record<string, TestProcess> = {}

  async function startRole(role: Role): Promise<void> {
    const same = ownServices.filter((service) => service.role === role)
    await Promise.all(same.map((service) => start(service)))
  }

  async function start(service: OwnService): Promise<void> {
    const env = {
      ...envOf(service, {
        ...replacements,
        'issuer:4000': addresses[ownServices[0]?.address ?? ''] ?? '',
      }),
      GATEPASS_HOST: '127.0.0.1',
      GATEPASS_PORT: '0',
      GATEPASS_ADMIN_PORT: '0',
      ...(service.role === 'issuer' && { GATEPASS_GRACE_S: String(graceMs / 1000) }),
    }
    const process = TestProcess.start(t, [service.role], { cwd: folder, env })
    running[service.name] = process
    envs[service.name] = env
    const { port, adminUrl } = await process.ready()
    addresses[service.address] = `127.0.0.1:${port}`
    await untilStatus(`${adminUrl}/readyz`, 200)
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

  const added = await runCommand(['users', 'add', 'ada', '--generate-password'], {
    cwd: folder,
    env: envs['issuer-1'] ?? {},
  })
  const issuers = ownServices
    .filter(({ role }) => role === 'issuer')
    .map(({ address }) => `http://${addresses[address]}`)
  const password = added.stdout.trim()
  return { folder, url, issuers, publicPort, demoPort, running, username: 'ada', password }
}
