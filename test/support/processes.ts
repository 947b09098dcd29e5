import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { packageOf } from '../../scripts/test-packages.ts'
import { patienceMs } from './patience.ts'
import { projectFolder } from './project.ts'
import { until } from './until.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** This Node first. Debian installs servers in `sbin`. */
const PATH = `${dirname(process.execPath)}:${process.env.PATH}:/usr/sbin`

/** The environment of this machine, for programs that need its network settings. */
export const machineEnv: Environment = { ...process.env, PATH, NODE_OPTIONS: undefined }

export interface ProcessOptions {
  readonly cwd: string
  /** The environment, besides PATH and the compile cache of Node. Settings of the caller are not inherited. */
  readonly env?: Environment
  /** The command. Default: Gatepass. */
  readonly command?: readonly string[]
  /** The text on standard input. */
  readonly input?: string
  /** An open file for standard output. Default: the test reads it. */
  readonly stdout?: number
  /** The user of the process. */
  readonly user?: { readonly uid: number; readonly gid: number } | undefined
}

const sources = join(projectFolder, 'src/cli/main.ts')

/** The command line, and the issuer and the verifier, which `npm test` builds (scripts/run-tests.ts). */
const programs = { command: sources, service: process.env.TEST_SERVICE_PROGRAM ?? sources }

/** A process that stops need not wait for a load balancer. */
const undrained = { GATEPASS_DRAIN_S: '0' }

/** The environment of a program of this project: all of them compile the same modules. */
export const compileCache = {
  NODE_COMPILE_CACHE: join(projectFolder, 'node_modules/.cache/gatepass-tests'),
}

/**
 * Returns the program and arguments that run a command with exactly this environment. The test runner
 * adds its loader to the environment of each child, and env(1) removes it.
 */
export function withEnv(env: Environment, command: readonly string[]): [string, string[]] {
  const pairs = Object.entries(env).filter(([, value]) => value !== undefined)
  return ['env', ['-i', ...pairs.map(([name, value]) => `${name}=${value}`), ...command]]
}

/** Programs of every Debian machine with Node. */
const everywhere = ['node', 'npm', 'prlimit', 'sh', 'tar']

/** Refuses a program that a fresh machine may lack. */
function refuseUnlisted([program = '']: readonly string[]): void {
  if (program.includes('/') || program in packageOf || everywhere.includes(program)) return
  throw new Error(`${program} is not in scripts/test-packages.ts`)
}

/** Characters of the output of a process that a failed test shows. */
const maxShown = 4_000

/** A process of a test, which is killed when the test ends. */
export class TestProcess {
  stderr = ''
  /** Resolves with the exit code or the signal, when all output was read. */
  readonly exited: Promise<number | string>
  readonly #lines: string[] = []
  readonly #changes = new EventEmitter()
  readonly #process: ChildProcess
  readonly #command: string
  #hasEnded = false

  private constructor(t: Test, args: readonly string[], options: ProcessOptions) {
    const kind = /^(issuer|verifier|dev)$/.test(args[0] ?? '') ? 'service' : 'command'
    const command = options.command ?? [process.execPath, programs[kind]]
    const env = {
      PATH,
      ...compileCache,
      ...(options.command === undefined && { ...undrained, HOME: options.cwd }),
      ...options.env,
    }
    refuseUnlisted(command)
    const child = spawn(...withEnv(env, [...command, ...args]), {
      cwd: options.cwd,
      stdio: ['pipe', options.stdout ?? 'pipe', 'pipe'],
      ...options.user,
    })
    this.#process = child
    this.#command = [...command, ...args].join(' ')
    child.stdin?.on('error', () => {}).end(options.input ?? '')
    child.stderr?.on('data', (text: Buffer) => {
      this.stderr += text
      this.#changes.emit('change')
    })
    if (child.stdout !== null) this.#readLines(child.stdout)
    this.exited = once(child, 'close').then(([code, signal]) => {
      this.#hasEnded = true
      this.#changes.emit('change')
      return code ?? signal
    })
    t.teardown(async () => {
      child.kill('SIGKILL')
      const end = await this.exited
      if (t.passing()) return
      t.comment(`${this.#command} ended with ${end}`)
      t.comment(`${this.stdout}${this.stderr}`.slice(-maxShown))
    })
  }

  /** Starts `gatepass` with these arguments. */
  static start(t: Test, args: readonly string[], options: ProcessOptions): TestProcess {
    return new TestProcess(t, args, options)
  }

  #readLines(stdout: Readable): void {
    createInterface({ input: stdout }).on('line', (line) => {
      this.#lines.push(line)
      this.#changes.emit('change')
    })
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  /** All of its standard output so far. */
  get stdout(): string {
    return this.#lines.map((line) => `${line}\n`).join('')
  }

  /** Waits for a line of the output. Rejects if the process ends first or hangs. */
  async line(pattern: RegExp): Promise<string> {
    const signal = AbortSignal.timeout(patienceMs)
    for (;;) {
      const lines = [...this.#lines, ...this.stderr.split('\n')]
      const found = lines.find((line) => pattern.test(line))
      if (found !== undefined) return found
      if (this.#hasEnded || signal.aborted) throw this.#failure(`has no line like ${pattern}`)
      await once(this.#changes, 'change', { signal }).catch(() => {})
    }
  }

  /** Waits until a probe resolves, for a program that does not report that it is ready. */
  async answers(probe: () => Promise<unknown>): Promise<void> {
    await until('it answers', async () => {
      if (this.#hasEnded) throw this.#failure('ended before it answered')
      return probe().then(
        () => true,
        () => false,
      )
    })
  }

  #failure(what: string): Error {
    return new Error(`${this.#command} ${what}:\n${this.stdout}${this.stderr}`)
  }

  /** Waits until a service accepts requests, and returns its addresses from its log. */
  async ready() {
    // A worker process logs the admin port 0.
    const line = await this.line(/^(?!.*"adminPort":0,).*"msg":"ready"/)
    const { port, adminPort } = JSON.parse(line) as Record<'port' | 'adminPort', number>
    return { port, url: `http://127.0.0.1:${port}`, adminUrl: `http://127.0.0.1:${adminPort}` }
  }

  /** Suspends the process. Returns when all its threads have stopped. */
  freeze(): void {
    this.#process.kill('SIGSTOP')
    const tasks = `/proc/${this.pid}/task`
    const isRunning = (task: string) =>
      / [RSD] /.test(readFileSync(`${tasks}/${task}/stat`, 'utf8'))
    while (existsSync(tasks) && readdirSync(tasks).some(isRunning)) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    }
  }

  thaw(): void {
    this.#process.kill('SIGCONT')
  }

  /** Limits the number of file descriptors. */
  limitFiles(count: number): void {
    execFileSync('prlimit', ['--pid', String(this.pid), `--nofile=${count}:`])
  }

  /** Stops the process by a signal. Resolves like `exited`. */
  stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | string> {
    this.#process.kill(signal)
    return this.exited
  }
}

/** Runs `gatepass`, or another command, to its end. */
export async function run(t: Test, args: readonly string[], options: ProcessOptions) {
  const process = TestProcess.start(t, args, options)
  const code = await process.exited
  return { code, stdout: process.stdout, stderr: process.stderr }
}

/** Repeats a request until the response has this status. */
export async function untilStatus(url: string, status: number): Promise<void> {
  const deadlineMs = performance.now() + patienceMs
  let last: unknown
  while (performance.now() < deadlineMs) {
    try {
      const response = await fetch(url)
      await response.body?.cancel()
      last = response.status
      if (last === status) return
    } catch (error) {
      last = error
    }
    await sleep(20)
  }
  throw new Error(`${url} did not answer ${status}`, { cause: last })
}
