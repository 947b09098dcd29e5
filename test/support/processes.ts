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

/** This Node comes first, whatever else the machine has. Debian has servers in a folder for root. */
const PATH = `${dirname(process.execPath)}:${process.env.PATH}:/usr/sbin`

/** The environment for programs that need the network, and so what is set on this machine for it. */
export const machineEnv: Environment = { ...process.env, PATH, NODE_OPTIONS: undefined }

export interface ProcessOptions {
  readonly cwd: string
  /** The whole environment but PATH and the compile cache of Node: no setting of the caller's slips in. */
  readonly env?: Environment
  /** The command. Default: Gatepass. */
  readonly command?: readonly string[]
  /** The text on standard input. */
  readonly input?: string
  /** An open file that takes its standard output. By default the test reads it. */
  readonly stdout?: number
  /** The user of the process. */
  readonly user?: { readonly uid: number; readonly gid: number }
}

const sources = join(projectFolder, 'src/cli/main.ts')

/** The command line, and the issuer and the verifier, which `npm test` builds (scripts/test-service.ts). */
const programs = { command: sources, service: process.env.TEST_SERVICE_PROGRAM ?? sources }

/** There is no balancer that a process would have to wait for when a test stops it. */
const undrained = { GATEPASS_DRAIN_S: '0' }

/** All processes compile the same sources. */
const compileCache = {
  NODE_COMPILE_CACHE: join(projectFolder, 'node_modules/.cache/gatepass-tests'),
}

/**
 * The program and arguments that run a command with this environment and no more. The test runner
 * puts a loader of its own into the environment of each child; env(1) takes it out again.
 */
export function withEnv(env: Environment, command: readonly string[]): [string, string[]] {
  const pairs = Object.entries(env).filter(([, value]) => value !== undefined)
  return ['env', ['-i', ...pairs.map(([name, value]) => `${name}=${value}`), ...command]]
}

/** Programs of every Debian machine with Node. */
const everywhere = ['node', 'npm', 'prlimit', 'sh', 'tar']

/** A program that only this machine happens to have would fail on a fresh one: so it fails here too. */
function refuseUnlisted([program = '']: readonly string[]): void {
  if (program.includes('/') || program in packageOf || everywhere.includes(program)) return
  throw new Error(`${program} is not in scripts/test-packages.ts`)
}

/** Characters of the output of a process that a failed test shows. */
const maxShown = 4_000

/** A process that a test has started. It is killed when the test ends, if it has not stopped. */
export class TestProcess {
  stderr = ''
  /** Resolves with the exit code, or the signal, when it has ended and all its output is here. */
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

  /** Waits for a line of its output that matches. Rejects when the process ends before, or hangs. */
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

  /** Waits until a probe resolves, for a program that does not say when it is ready. */
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

  /** Waits for a service to take requests, and gives the ports that its log names. */
  async ready(): Promise<{ port: number; adminPort: number }> {
    return JSON.parse(await this.line(/"msg":"ready"/))
  }

  /** Suspends it, and returns when each of its threads has stopped: the signal reaches them one by one. */
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

  /** Sets how many file descriptors it may have. */
  limitFiles(count: number): void {
    execFileSync('prlimit', ['--pid', String(this.pid), `--nofile=${count}:`])
  }

  /** Asks it to stop, as an operator would, and resolves like `exited`. */
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

/** Asks an address over and over until it answers with this status. */
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
