import { type ChildProcess, type Serializable, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { GatepassError } from '../../core/errors.ts'
import { programBeside } from '../../core/program.ts'
import { type ReadyMessage, stopMessage } from '../shutdown.ts'

const readyPollMs = 25

export interface ChildOptions {
  readonly name: string
  /** What Node runs: its options, the program, the arguments. */
  readonly command: readonly string[]
  /** Whether it has `/readyz` on an admin port; else it is ready when it says so. */
  readonly hasReadiness: boolean
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  /** Where its log lines go. */
  readonly logPath: string
  readonly stderr: NodeJS.WritableStream
  /** Told of what it has to say besides. */
  readonly onMessage?: (message: unknown) => void
}

/** The program of this command line. */
export const mainProgram = fileURLToPath(programBeside(import.meta, '../main'))

/** A service process of `gatepass dev`. */
export class Child {
  readonly name: string
  /** Resolves with its port when it is ready; rejects when it ends before that. */
  readonly ready: Promise<number>
  /** Resolves with its exit code, however it ends. */
  readonly exited: Promise<number>
  readonly #process: ChildProcess
  #hasEnded = false

  constructor(options: ChildOptions) {
    const { name, command, env, cwd, logPath, stderr, hasReadiness, onMessage } = options
    this.name = name
    const log = openSync(logPath, 'w', 0o600)
    this.#process = spawn(process.execPath, command, {
      cwd,
      env,
      stdio: ['ignore', log, 'pipe', 'ipc'],
    })
    closeSync(log)
    // What it has to say to a person: a port in use, a bad setting.
    this.#process.stderr?.on('data', (text: Buffer) => stderr.write(text))
    this.exited = new Promise<number>((resolve) => {
      this.#process.once('exit', (code) => resolve(code ?? 1))
      this.#process.once('error', () => resolve(1))
    }).finally(() => {
      this.#hasEnded = true
    })
    const listening = new Promise<ReadyMessage>((resolve, reject) => {
      this.#process.on('message', (message) => isReady(message) && resolve(message))
      this.exited.then(() => reject(this.#notStarted()))
    })
    if (onMessage) this.#process.on('message', onMessage)
    this.ready = listening.then(async ({ port, adminPort }) => {
      if (hasReadiness) await this.#untilReady(adminPort)
      return port
    })
  }

  /** A verifier listens before it has keys; it is ready when it has them. */
  async #untilReady(adminPort: number): Promise<void> {
    while (!(await answersOk(`http://127.0.0.1:${adminPort}/readyz`))) {
      if (this.#hasEnded) throw this.#notStarted()
      await sleep(readyPollMs)
    }
  }

  #notStarted(): GatepassError {
    return new GatepassError('internal_error', { detail: `The ${this.name} did not start.` })
  }

  /** Asks it to finish and close, by message: a signal may have come from the terminal already. */
  stop(): void {
    this.send(stopMessage)
  }

  /** Says something to it; to one that is gone, nothing. */
  send(message: Serializable): void {
    if (this.#process.connected) this.#process.send(message, () => {})
  }

  kill(): void {
    this.#process.kill('SIGKILL')
  }
}

function isReady(message: unknown): message is ReadyMessage {
  return (message as Partial<ReadyMessage> | null)?.type === 'ready'
}

async function answersOk(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok
  } catch {
    return false
  }
}
