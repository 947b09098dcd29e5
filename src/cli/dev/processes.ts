import { type ChildProcess, type Serializable, spawn } from 'node:child_process'
import { closeSync, constants, openSync } from 'node:fs'
import { createServer } from 'node:net'
import { constants as system } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import {
  settings as allSettings,
  dataUrl,
  environmentName,
  type Settings,
} from '../../config/settings.ts'
import { GatepassError } from '../../core/errors.ts'
import { programBeside } from '../../core/files.ts'
import type { ReplicaKind } from '../../playground/api.ts'
import type { CliContext } from '../context.ts'
import { type ReadyMessage, sendTo, stopMessage } from '../shutdown.ts'

/**
 * Each process of `gatepass dev` takes two ports: the base port plus its offset, and the next port.
 */
export const issuerPortOffset = 0
export const verifierPortOffsets = [100, 200] as const
/** The third-party application takes one port. */
export const thirdPartyPortOffset = 300

const portOffsets = [
  ...[issuerPortOffset, ...verifierPortOffsets].flatMap((offset) => [offset, offset + 1]),
  thirdPartyPortOffset,
]
export const maxBasePort = 65_000
const suggestionStep = 1_000

const mainProgram = fileURLToPath(programBeside(import.meta, '../main'))

export interface DevProcessesOptions {
  readonly context: CliContext
  /** The issuer's settings. */
  readonly settings: Settings
  /** The environment of every process. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly basePort: number
  /** The folder for log files. */
  readonly stateFolder: string
  /** The program of the shop; null for no shop. */
  readonly shop: string | null
  /** The origin of the third-party application, whose page calls the verifiers; null for none. */
  readonly thirdParty: string | null
}

/** Starts the processes of `gatepass dev`. */
export class DevProcesses {
  /** The kinds of replicas that can be started. */
  readonly kinds: readonly ReplicaKind[]
  readonly #options: DevProcessesOptions

  constructor(options: DevProcessesOptions) {
    this.#options = options
    const hasShop = options.shop !== null && dataUrl(options.settings) !== null
    this.kinds = hasShop ? ['verifier', 'shop'] : ['verifier']
  }

  startIssuer(onMessage: (message: unknown) => void): ServiceProcess {
    return this.#startService('issuer', 'issuer', issuerPortOffset, onMessage)
  }

  /** @param portOffset offset from the base port; null takes free ports */
  startReplica(kind: ReplicaKind, name: string, portOffset: number | null): ServiceProcess {
    return kind === 'shop'
      ? this.#startShop(name)
      : this.#startService('verifier', name, portOffset)
  }

  #startService(
    role: 'issuer' | 'verifier',
    name: string,
    portOffset: number | null,
    onMessage?: (message: unknown) => void,
  ): ServiceProcess {
    const { context, env, basePort, settings, thirdParty } = this.#options
    const { configFile } = context
    const port = portOffset === null ? 0 : basePort + portOffset
    return new ServiceProcess({
      ...this.#common(name),
      // An issuer that runs from the sources strips the types of the page's modules, and Node warns
      // about it.
      command: [
        ...(role === 'issuer' ? ['--disable-warning=ExperimentalWarning'] : []),
        mainProgram,
        ...(configFile === undefined ? [] : ['--config', configFile]),
        role,
      ],
      hasReadiness: true,
      env: {
        ...(role === 'issuer' ? env : withoutIssuerSecrets(env)),
        // The issuer's own list is not extended: a third party calls the issuer without cookies.
        ...(role === 'verifier' &&
          thirdParty !== null && {
            GATEPASS_ALLOWED_ORIGINS: [...settings.allowed_origins, thirdParty].join(','),
            GATEPASS_ALLOWED_ORIGINS_FILE: undefined,
          }),
        GATEPASS_PORT: String(port),
        GATEPASS_PORT_FILE: undefined,
        GATEPASS_ADMIN_PORT: String(port === 0 ? 0 : port + 1),
        GATEPASS_ADMIN_PORT_FILE: undefined,
      },
      ...(onMessage && { onMessage }),
    })
  }

  #startShop(name: string): ServiceProcess {
    const { settings, env, context, shop } = this.#options
    return new ServiceProcess({
      ...this.#common(name),
      command: [shop ?? ''],
      hasReadiness: false,
      env: {
        ...withoutIssuerSecrets(env),
        SHOP_PORT: '0',
        SHOP_NAME: name,
        GATEPASS_ISSUER: settings.issuer,
        GATEPASS_AUDIENCE: settings.audience,
        GATEPASS_DATA_URL: withAbsolutePath(dataUrl(settings) ?? '', context.cwd),
        GATEPASS_DATA_SECRET: settings.data_secret.join(','),
        GATEPASS_SESSION_MAX_S: String(settings.session_max_s),
        GATEPASS_ACCESS_TTL_S: String(settings.access_ttl_s),
      },
    })
  }

  #common(name: string) {
    const { context, stateFolder } = this.#options
    const { cwd, stderr } = context
    return { name, cwd, stderr, logPath: join(stateFolder, `${name}.log`) }
  }
}

/** The environment of a replica, without the secrets that only an issuer needs. */
function withoutIssuerSecrets(env: DevProcessesOptions['env']): DevProcessesOptions['env'] {
  const secret = allSettings.filter((one) => one.secret && !one.roles.includes('verifier'))
  const names = secret.map(({ name }) => environmentName(name))
  const unset = names.flatMap((name) => [name, `${name}_FILE`])
  return { ...env, ...Object.fromEntries(unset.map((name) => [name, undefined])) }
}

/** A store URL that means the same file in every working directory. */
function withAbsolutePath(url: string, cwd: string): string {
  const [, path] = /^sqlite:(.+)$/.exec(url) ?? []
  return path === undefined || isAbsolute(path) ? url : `sqlite:${join(cwd, path)}`
}

/**
 * Checks all ports before a process starts. A process could report only its own port, not the
 * `--port` that determines it.
 * @throws `port_in_use`, `config_invalid`, with a command whose ports can be used
 */
export async function requireFreePorts(
  { env }: Pick<CliContext, 'env'>,
  host: string,
  basePort: number,
): Promise<void> {
  const problem = await findPortProblem(host, basePort)
  if (problem === null) return
  const free = await findFreeBasePort(host, basePort)
  const command = `${startCommand(env)} --port ${free ?? '<number>'}`
  throw new GatepassError(problem.code, { detail: `${problem.detail} Run: ${command}` })
}

async function findPortProblem(host: string, basePort: number) {
  const ports = portOffsets.map((offset) => basePort + offset)
  // People and browsers call `localhost`, which may mean `::1` first. A service at `::` has both.
  const isBusy = await Promise.all(
    ports.map(async (port) => (await isInUse(host, port)) || isInUse('::1', port)),
  )
  const busy = ports.filter((_, index) => isBusy[index])
  if (busy.length > 0) {
    const detail =
      busy.length === 1
        ? `Port ${busy[0]} is in use by another program.`
        : `The ports ${busy.join(', ')} are in use by other programs.`
    return { code: 'port_in_use', detail } as const
  }
  const isBlocked = await Promise.all(ports.map(isBlockedPort))
  const blocked = ports.find((_, index) => isBlocked[index])
  if (blocked === undefined) return null
  return { code: 'config_invalid', detail: `Browsers do not connect to port ${blocked}.` } as const
}

async function findFreeBasePort(host: string, basePort: number): Promise<number | null> {
  for (let base = basePort + suggestionStep; base <= maxBasePort; base += suggestionStep) {
    if ((await findPortProblem(host, base)) === null) return base
  }
  return null
}

/** The process that listens reports any other error, with the reason. */
async function isInUse(host: string, port: number): Promise<boolean> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'EADDRINUSE'))
    server.listen({ host, port }, () => server.close(() => resolve(false)))
  })
}

/** Whether browsers and `fetch` refuse a port, such as 6000 (Fetch Standard, "port blocking"). */
async function isBlockedPort(port: number): Promise<boolean> {
  const fetched = fetch(`http://127.0.0.1:${port}`)
  return fetched.then(
    () => false,
    ({ cause }) => cause?.message === 'bad port',
  )
}

/** The command that started `gatepass dev`. npm sets the name of its script in the environment. */
function startCommand({ npm_lifecycle_event: script }: CliContext['env']): string {
  if (script === 'start') return 'npm start --'
  return script === 'gatepass' ? 'npm run gatepass -- dev' : 'gatepass dev'
}

const readyPollMs = 25

/** A second `gatepass dev` in this folder, with another port, appends to the same files. */
const logFlags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_APPEND

export interface ServiceProcessOptions {
  readonly name: string
  /** Arguments of Node: its options, the program, the program's arguments. */
  readonly command: readonly string[]
  /** Whether the service has `/readyz` on an admin port. Otherwise its ready message counts. */
  readonly hasReadiness: boolean
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  /** The file for its log lines. An existing file is replaced. */
  readonly logPath: string
  readonly stderr: NodeJS.WritableStream
  /** Receives the messages of the process. */
  readonly onMessage?: (message: unknown) => void
}

/** A child process of `gatepass dev` that runs one service. */
export class ServiceProcess {
  readonly name: string
  /** Resolves with the port when the service is ready; rejects when the process exits before. */
  readonly ready: Promise<number>
  /** Resolves with the exit code; after a signal 128 plus its number, as in a shell. */
  readonly exited: Promise<number>
  readonly #process: ChildProcess
  #hasExited = false

  constructor(options: ServiceProcessOptions) {
    const { name, command, env, cwd, logPath, stderr, hasReadiness, onMessage } = options
    this.name = name
    const log = openSync(logPath, logFlags, 0o600)
    this.#process = spawn(process.execPath, command, {
      cwd,
      env,
      stdio: ['ignore', log, 'pipe', 'ipc'],
    })
    closeSync(log)
    // Standard error has the messages for people: a port in use, an invalid setting.
    this.#process.stderr?.on('data', (text: Buffer) => stderr.write(text))
    this.exited = new Promise<number>((resolve) => {
      this.#process.once('exit', (code, signal) =>
        resolve(code ?? 128 + system.signals[signal as NodeJS.Signals]),
      )
      this.#process.once('error', () => resolve(1))
    }).finally(() => {
      this.#hasExited = true
    })
    const listening = new Promise<ReadyMessage>((resolve, reject) => {
      this.#process.on('message', (message) => isReadyMessage(message) && resolve(message))
      this.exited.then(() => reject(this.#startError()))
    })
    if (onMessage) this.#process.on('message', onMessage)
    this.ready = listening.then(async ({ port, adminPort }) => {
      if (hasReadiness) await this.#waitForReadiness(adminPort)
      return port
    })
  }

  /** Asks the process to shut down, by message: Ctrl-C may have sent it a signal already. */
  stop(): void {
    this.send(stopMessage)
  }

  /** Sends a message. Does nothing when the process has exited. */
  send(message: Serializable): void {
    sendTo(this.#process, message)
  }

  kill(): void {
    this.#process.kill('SIGKILL')
  }

  /** A verifier listens before it has keys, and is ready when it has them. */
  async #waitForReadiness(adminPort: number): Promise<void> {
    while (!(await isOk(`http://127.0.0.1:${adminPort}/readyz`))) {
      if (this.#hasExited) throw this.#startError()
      await sleep(readyPollMs)
    }
  }

  #startError(): GatepassError {
    return new GatepassError('internal_error', { detail: `The ${this.name} did not start.` })
  }
}

function isReadyMessage(message: unknown): message is ReadyMessage {
  return (message as Partial<ReadyMessage> | null)?.type === 'ready'
}

async function isOk(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok
  } catch {
    return false
  }
}
