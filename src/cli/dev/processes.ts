import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { environmentName } from '../../config/setting.ts'
import { settings as allSettings, dataUrl, type Settings } from '../../config/settings.ts'
import { GatepassError } from '../../core/errors.ts'
import type { ReplicaKind } from '../../playground/api.ts'
import type { CliContext } from '../context.ts'
import { Child, mainProgram } from './service-process.ts'

/** Each process of `gatepass dev` takes the port so far above the base port, and the next one. */
export const issuerAbove = 0
export const verifiersAbove = [100, 200] as const

const allAbove = [issuerAbove, ...verifiersAbove].flatMap((above) => [above, above + 1])
export const basePortMax = 65_000
const suggestionStep = 1_000

/**
 * Looks at all ports before a process starts: a process knows its own port only, and not that it
 * follows from `--port`.
 * @throws `port_in_use` with a command whose ports are free
 */
export async function requireFreePorts(
  { env }: Pick<CliContext, 'env'>,
  host: string,
  basePort: number,
): Promise<void> {
  const busy = await busyPorts(host, basePort)
  if (busy.length === 0) return
  const free = await freeBasePort(host, basePort)
  const remedy = `${commandOf(env)} --port ${free ?? '<number>'}`
  const which =
    busy.length === 1
      ? `Port ${busy[0]} is in use by another program.`
      : `The ports ${busy.join(', ')} are in use by other programs.`
  throw new GatepassError('port_in_use', { detail: `${which} Run: ${remedy}` })
}

async function busyPorts(host: string, basePort: number): Promise<number[]> {
  const ports = allAbove.map((above) => basePort + above)
  const isBusy = await Promise.all(ports.map((port) => isInUse(host, port)))
  return ports.filter((_, index) => isBusy[index])
}

async function freeBasePort(host: string, basePort: number): Promise<number | null> {
  for (let base = basePort + suggestionStep; base <= basePortMax; base += suggestionStep) {
    if ((await busyPorts(host, base)).length === 0) return base
  }
  return null
}

/** Any other reason than another program is for the process to tell that wants the port. */
async function isInUse(host: string, port: number): Promise<boolean> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'EADDRINUSE'))
    server.listen({ host, port }, () => server.close(() => resolve(false)))
  })
}

/** How this command was started; npm names the script that it runs. */
function commandOf({ npm_lifecycle_event: script }: CliContext['env']): string {
  if (script === 'start') return 'npm start --'
  return script === 'gatepass' ? 'npm run gatepass -- dev' : 'gatepass dev'
}

/** The shop is among the examples of the repository; the published package has none. */
const shopProgram = fileURLToPath(new URL('../../../examples/shop/main.ts', import.meta.url))

export interface DevProcessesOptions {
  readonly context: CliContext
  /** Those of the issuer. */
  readonly settings: Settings
  /** What all processes get. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly basePort: number
  /** The folder of logs. */
  readonly state: string
}

/** Starts the processes of `gatepass dev`. */
export class DevProcesses {
  readonly kinds: readonly ReplicaKind[]
  readonly #options: DevProcessesOptions

  constructor(options: DevProcessesOptions) {
    this.#options = options
    const hasShop = dataUrl(options.settings) !== null && existsSync(shopProgram)
    this.kinds = hasShop ? ['verifier', 'shop'] : ['verifier']
  }

  issuer(onMessage: (message: unknown) => void): Child {
    return this.#service('issuer', 'issuer', issuerAbove, onMessage)
  }

  /** @param above the base port; null takes free ports */
  replica(kind: ReplicaKind, name: string, above: number | null): Child {
    return kind === 'shop' ? this.#shop(name) : this.#service('verifier', name, above)
  }

  #service(
    role: 'issuer' | 'verifier',
    name: string,
    above: number | null,
    onMessage?: (message: unknown) => void,
  ): Child {
    const { context, env, basePort } = this.#options
    const { configFile } = context
    const port = above === null ? 0 : basePort + above
    return new Child({
      ...this.#common(name),
      // From the sources it takes the types out of the page's modules, of which Node warns.
      command: [
        ...(role === 'issuer' ? ['--disable-warning=ExperimentalWarning'] : []),
        mainProgram,
        ...(configFile === undefined ? [] : ['--config', configFile]),
        role,
      ],
      hasReadiness: true,
      env: {
        ...(role === 'issuer' ? env : withoutSecrets(env)),
        GATEPASS_PORT: String(port),
        GATEPASS_ADMIN_PORT: String(port === 0 ? 0 : port + 1),
      },
      ...(onMessage && { onMessage }),
    })
  }

  #shop(name: string): Child {
    const { settings, env, context } = this.#options
    return new Child({
      ...this.#common(name),
      command: [shopProgram],
      hasReadiness: false,
      env: {
        ...withoutSecrets(env),
        SHOP_PORT: '0',
        SHOP_NAME: name,
        GATEPASS_ISSUER: settings.issuer,
        GATEPASS_AUDIENCE: settings.audience,
        GATEPASS_DATA_URL: absoluteUrl(dataUrl(settings) ?? '', context.cwd),
        GATEPASS_DATA_SECRET: settings.data_secret.join(','),
        GATEPASS_SESSION_MAX_S: String(settings.session_max_s),
        GATEPASS_ACCESS_TTL_S: String(settings.access_ttl_s),
      },
    })
  }

  #common(name: string) {
    const { context, state } = this.#options
    const { cwd, stderr } = context
    return { name, cwd, stderr, logPath: join(state, `${name}.log`) }
  }
}

/** What replicas get: none of the secrets that only an issuer has to know. */
function withoutSecrets(env: DevProcessesOptions['env']): DevProcessesOptions['env'] {
  const secret = allSettings.filter((one) => one.secret && !one.roles.includes('verifier'))
  const names = secret.map(({ name }) => environmentName(name))
  const unset = names.flatMap((name) => [name, `${name}_FILE`])
  return { ...env, ...Object.fromEntries(unset.map((name) => [name, undefined])) }
}

/** A file by its whole path, wherever the reader looks from. */
function absoluteUrl(url: string, cwd: string): string {
  const [, path] = /^sqlite:(.+)$/.exec(url) ?? []
  return path === undefined || isAbsolute(path) ? url : `sqlite:${join(cwd, path)}`
}
