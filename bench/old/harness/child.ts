import { type ChildProcess, type Serializable, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { devNull } from 'node:os'
import { fileURLToPath } from 'node:url'
import { builtOf } from './built.ts'
import type { Cores } from './cores.ts'

export interface ChildSpec {
  readonly name: string
  readonly module: URL
  /** Has it run from its source, types and all. */
  readonly fromSource?: boolean
  readonly args?: readonly string[]
  /** All that it gets of an environment. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Whose core it runs on. */
  readonly core: keyof Cores
}

const settle = new URL('settle.ts', import.meta.url)

const running = new Set<ChildProcess>()

// However this process ends, none of them goes on writing into a folder that is about to go.
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** The command that runs another one on a core. */
export function commandOn(core: keyof Cores, cores: Cores | null, command: string[]): string[] {
  return cores === null ? command : ['taskset', '--cpu-list', String(cores[core]), ...command]
}

/** However this process ends, that one ends first. */
export function endWithUs(child: ChildProcess): void {
  running.add(child)
  child.once('exit', () => running.delete(child))
}

/**
 * A fresh Node process on a core of its own. It tells results by message, its standard output goes
 * nowhere (that is where services log), and its standard error is ours.
 */
export class Child {
  readonly pid: number
  readonly #name: string
  readonly #process: ChildProcess
  readonly #exited: Promise<void>

  constructor(spec: ChildSpec, cores: Cores | null) {
    const { name, module, fromSource = false, args = [], env = {}, cwd, core } = spec
    const program = fromSource ? module : builtOf(module)
    const first = ['--import', builtOf(settle).href]
    const node = [process.execPath, ...first, fileURLToPath(program), ...args]
    const [command = '', ...rest] = commandOn(core, cores, node)
    const nowhere = openSync(devNull, 'w')
    this.#name = name
    this.#process = spawn(command, rest, {
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', nowhere, 'inherit', 'ipc'],
      ...(cwd !== undefined && { cwd }),
    })
    closeSync(nowhere)
    endWithUs(this.#process)
    this.pid = this.#process.pid ?? Number.NaN
    this.#exited = new Promise<void>((resolve) => {
      this.#process.once('exit', () => resolve())
      this.#process.once('error', () => resolve())
    })
  }

  send(message: Serializable): void {
    this.#process.send(message)
  }

  /** Its next message; rejects when it ends without one. */
  message<T>(): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#process.once('message', (message) => resolve(message as T))
      this.#exited.then(() => reject(new Error(`${this.#name} ended without an answer`)))
    })
  }

  /** Ends it, and resolves when it is gone. */
  async stop(): Promise<void> {
    this.#process.kill()
    await this.#exited
  }
}
