import { once } from 'node:events'
import { connect } from 'node:net'
import type { Test } from 'tap'
import { type ProcessOptions, TestProcess } from './processes.ts'

interface DaemonOptions extends ProcessOptions {
  /** A program that stays in the foreground, and its arguments. */
  readonly command: readonly string[]
  /** A line of the output of a program that is ready, or a probe that such a program answers. */
  readonly ready: RegExp | (() => Promise<unknown>)
}

/** Starts a server program of this machine, and waits until it is ready. */
export async function startDaemon(
  t: Test,
  { ready, ...options }: DaemonOptions,
): Promise<TestProcess> {
  const daemon = TestProcess.start(t, [], options)
  if (ready instanceof RegExp) await daemon.line(ready)
  else await daemon.answers(ready)
  return daemon
}

/** Rejects unless a program listens on this port. */
export async function connects(port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
  } finally {
    socket.destroy()
  }
}
