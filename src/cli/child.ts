import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { GatepassError } from '../core/errors.ts'
import { type ReadyMessage, stopMessage } from './life.ts'

const readyPollMs = 25

export interface ChildOptions {
  readonly name: string
  readonly role: 'issuer' | 'verifier'
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  /** Where its log lines go. */
  readonly logPath: string
  readonly stderr: NodeJS.WritableStream
}

const main = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './main.ts' : './main.js', import.meta.url),
)

/** A service process of `gatepass dev`. */
export class Child {
  readonly name: string
  /** Resolves when it is ready; rejects when it ends before that. */
  readonly ready: Promise<void>
  /** Resolves with its exit code, however it ends. */
  readonly exited: Promise<number>
  readonly #process: ChildProcess
  #hasEnded = false

  constructor({ name, role, args, env, cwd, logPath, stderr }: ChildOptions) {
    this.name = name
    const log = openSync(logPath, 'w', 0o600)
    this.#process = spawn(process.execPath, [main, ...args, role], {
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
      this.#process.once('message', (message) => resolve(message as ReadyMessage))
      this.exited.then(() => reject(this.#notStarted()))
    })
    this.ready = listening.then(({ adminPort }) => this.#untilReady(adminPort))
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
    if (this.#process.connected) this.#process.send(stopMessage)
  }

  kill(): void {
    this.#process.kill('SIGKILL')
  }
}

async function answersOk(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok
  } catch {
    return false
  }
}
