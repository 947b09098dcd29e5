import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { GatepassError } from '../core/errors.ts'
import type { ReadyMessage } from './serve.ts'

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
  /** Resolves when it takes requests; rejects when it ends before that. */
  readonly ready: Promise<ReadyMessage>
  /** Resolves with its exit code, however it ends. */
  readonly exited: Promise<number>
  readonly #process: ChildProcess

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
    this.exited = new Promise((resolve) => {
      this.#process.once('exit', (code) => resolve(code ?? 1))
      this.#process.once('error', () => resolve(1))
    })
    this.ready = new Promise((resolve, reject) => {
      this.#process.once('message', (message) => resolve(message as ReadyMessage))
      this.exited.then(() =>
        reject(new GatepassError('internal_error', { detail: `The ${name} did not start.` })),
      )
    })
  }

  /** Asks it to finish and close, by message: a signal may have come from the terminal already. */
  stop(): void {
    if (this.#process.connected) this.#process.send('stop')
  }

  kill(): void {
    this.#process.kill('SIGKILL')
  }
}
