import { type ChildProcess, type Serializable, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { GatepassError } from '../../core/errors.ts'
import { type ReadyMessage, stopMessage } from '../shutdown.ts'

const readyPollMs = 25

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
  /** Resolves with the exit code; 1 after a signal. */
  readonly exited: Promise<number>
  readonly #process: ChildProcess
  #hasExited = false

  constructor(options: ServiceProcessOptions) {
    const { name, command, env, cwd, logPath, stderr, hasReadiness, onMessage } = options
    this.name = name
    const log = openSync(logPath, 'w', 0o600)
    this.#process = spawn(process.execPath, command, {
      cwd,
      env,
      stdio: ['ignore', log, 'pipe', 'ipc'],
    })
    closeSync(log)
    // Standard error has the messages for people: a port in use, an invalid setting.
    this.#process.stderr?.on('data', (text: Buffer) => stderr.write(text))
    this.exited = new Promise<number>((resolve) => {
      this.#process.once('exit', (code) => resolve(code ?? 1))
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
    if (this.#process.connected) this.#process.send(message, () => {})
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
