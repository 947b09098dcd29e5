import { type ChildProcess, execFile, type Serializable, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { freePort } from '../../scripts/free-port.ts'
import type { Cores } from './machine.ts'
import type { Bench } from './scenario.ts'

export type Environment = Readonly<Record<string, string>>

export interface ProcessSpec {
  readonly name: string
  readonly command: readonly string[]
  /** The core of the measured processes, or the core of the load and the stores. */
  readonly core: keyof Cores
  readonly cwd?: string
  readonly env?: Environment
  readonly user?: { readonly uid: number; readonly gid: number } | undefined
  /** Stops a program that has child processes, which would outlive its SIGKILL. */
  readonly stopSignal?: NodeJS.Signals
  /** Whether to discard standard error, where some stores log. */
  readonly isQuiet?: boolean
}

const startTimeoutMs = 30_000
const pollMs = 20
/** The running processes, with the signals that end them. */
const running = new Map<ChildProcess, NodeJS.Signals>()

// Child processes end with this process.
process.once('exit', () => {
  for (const [child, signal] of running) child.kill(signal)
})

function commandOn(core: keyof Cores, cores: Cores | null, command: readonly string[]) {
  return cores === null ? command : ['taskset', '--cpu-list', String(cores[core]), ...command]
}

/** Starts a process, which ends with its bench at the latest. Discards standard output, where services log. */
export function startProcess(spec: ProcessSpec, { cores, defer }: Bench) {
  const { name, cwd, stopSignal } = spec
  const [command = '', ...args] = commandOn(spec.core, cores, spec.command)
  const child = spawn(command, args, {
    env: { PATH: process.env.PATH, ...spec.env },
    stdio: ['ignore', 'ignore', spec.isQuiet ? 'ignore' : 'inherit', 'ipc'],
    ...(cwd !== undefined && { cwd }),
    ...spec.user,
  })
  const endSignal = stopSignal ?? 'SIGKILL'
  running.set(child, endSignal)
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve()).once('error', () => resolve())
  })
  void exited.then(() => running.delete(child))
  const stop = async (signal: NodeJS.Signals = stopSignal ?? 'SIGTERM') => {
    child.kill(signal)
    await exited
  }
  defer(() => stop(endSignal))
  return {
    pid: child.pid ?? Number.NaN,
    send: (message: Serializable) => void child.send(message),
    /** @returns the next message; rejects if the process ends without one */
    message: <T>() =>
      new Promise<T>((resolve, reject) => {
        child.once('message', (message) => resolve(message as T))
        void exited.then(() => reject(new Error(`${name} ended without an answer`)))
      }),
    /** Repeats a request until it succeeds. */
    async ready(ask: () => Promise<unknown>) {
      const deadlineMs = performance.now() + startTimeoutMs
      for (;;) {
        try {
          await ask()
          return
        } catch (cause) {
          const isOver = child.pid === undefined || child.exitCode !== null
          if (isOver || performance.now() > deadlineMs) {
            throw new Error(`${name} is not ready`, { cause })
          }
          await sleep(pollMs)
        }
      }
    },
    /** Resolves when the process has ended. */
    stop,
  }
}

/** Starts a program of the benchmark, compiled for the measured revision. It reports by messages. */
export function startProgram(
  name: string,
  args: readonly string[],
  bench: Bench,
  { core = 'server', env = {} }: { core?: keyof Cores; env?: Environment } = {},
) {
  const command = [...nodeOf(bench), bench.revision.program(name), ...args]
  return startProcess({ name, command, core, env }, bench)
}

function nodeOf({ revision }: Bench): string[] {
  return [process.execPath, '--import', revision.program('harness/settle')]
}

export interface Server {
  readonly url: string
  readonly pid: number
  readonly storePid?: number
  stop(signal?: NodeJS.Signals): Promise<void>
}

/** Starts a program that is a server and sends its port by message. */
export async function startServer(
  name: string,
  args: readonly string[],
  bench: Bench,
  env: Environment = {},
): Promise<Server> {
  const program = startProgram(name, args, bench, { env })
  const { port } = await program.message<{ port: number }>()
  const url = `http://127.0.0.1:${port}`
  return { url, pid: program.pid, stop: program.stop }
}

interface ServiceSpec {
  readonly cwd: string
  readonly env: Environment
}

/** Runs a command of Gatepass to its end. @returns its standard output */
export async function runCommand(
  args: readonly string[],
  { cwd, env }: ServiceSpec,
  { cores, revision }: Bench,
): Promise<string> {
  const command = [process.execPath, revision.cli, ...args]
  const [program = '', ...all] = commandOn('server', cores, command)
  const options = { cwd, env: { PATH: process.env.PATH, ...env } }
  return (await promisify(execFile)(program, all, options)).stdout
}

/** Starts an issuer or a verifier by the command line, and waits until it is ready. */
export async function startService(
  role: 'issuer' | 'verifier',
  { cwd, env }: ServiceSpec,
  bench: Bench,
): Promise<Server> {
  const [port, adminPort] = [await freePort(), await freePort()]
  const ports = { GATEPASS_PORT: String(port), GATEPASS_ADMIN_PORT: String(adminPort) }
  const command = [...nodeOf(bench), bench.revision.cli, role]
  const spec = { name: role, command, core: 'server', cwd, env: { ...env, ...ports } } as const
  const service = startProcess(spec, bench)
  await service.ready(() => checkAnswer(`http://127.0.0.1:${adminPort}/readyz`))
  return { url: `http://127.0.0.1:${port}`, pid: service.pid, stop: service.stop }
}

/** Rejects unless a GET request succeeds. */
export async function checkAnswer(url: string): Promise<void> {
  const response = await fetch(url)
  const text = await response.text()
  if (!response.ok) throw new Error(`${url} answers ${response.status}: ${text}`)
}
