import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { commandOn, endWithUs } from '../harness/child.ts'
import type { Cores } from '../harness/cores.ts'
import type { Bench } from '../harness/scenario.ts'

/** A database server that a scenario has started. */
export interface Store {
  readonly url: string
  readonly pid: number
}

/** Whom a program runs as. */
export interface User {
  readonly uid: number
  readonly gid: number
}

interface DaemonSpec {
  readonly command: readonly string[]
  readonly cwd: string
  readonly user?: User
  readonly stopSignal: NodeJS.Signals
  /** `load` unless it is part of what is measured, as a proxy is. */
  readonly core?: keyof Cores
  /** Rejects as long as it takes no requests. */
  isReady(): Promise<unknown>
}

const startTimeoutMs = 30_000
const pollMs = 50

/**
 * Starts a database server, until the scenario is over. It runs on the core of the load, for every
 * subject alike: the core of the server is for what is measured.
 */
export async function startDaemon(spec: DaemonSpec, bench: Bench): Promise<number> {
  const [command = '', ...args] = commandOn(spec.core ?? 'load', bench.cores, [...spec.command])
  const child = spawn(command, args, { cwd: spec.cwd, stdio: 'ignore', ...spec.user })
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  endWithUs(child)
  bench.defer(() => {
    child.kill(spec.stopSignal)
    return exited
  })
  await untilReady(spec, child)
  return child.pid ?? Number.NaN
}

async function untilReady({ command, isReady }: DaemonSpec, child: ChildProcess): Promise<void> {
  const deadlineMs = performance.now() + startTimeoutMs
  for (;;) {
    try {
      await isReady()
      return
    } catch (cause) {
      const isOver = child.pid === undefined || child.exitCode !== null
      if (isOver || performance.now() > deadlineMs) {
        throw new Error(`${command[0]} does not start`, { cause })
      }
      await sleep(pollMs)
    }
  }
}
