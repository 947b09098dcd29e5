import { createServer } from 'node:net'
import type { Test } from 'tap'
import { freePort, type ProcessOptions, TestProcess } from './processes.ts'

interface DevOptions extends ProcessOptions {
  /** See `freeBasePort`. */
  readonly port?: number
}

/** `gatepass dev`, which says what to sign in with. */
export async function startDev(t: Test, { port: chosen, ...options }: DevOptions) {
  const port = chosen ?? (await freeBasePort())
  const dev = TestProcess.start(t, ['dev', '--port', String(port)], options)
  await dev.line(/Ctrl-C stops everything/)
  const password = /password +(\S+)/.exec(dev.stdout)?.[1] ?? ''
  return { dev, password, issuer: `http://localhost:${port}` }
}

/** A port with free ones 1, 100, 101, 200 and 201 above it. */
export async function freeBasePort(): Promise<number> {
  for (;;) {
    const base = Math.min(await freePort(), 60_000)
    const all = [0, 1, 100, 101, 200, 201].map((above) => isFree(base + above))
    if ((await Promise.all(all)).every(Boolean)) return base
  }
}

export async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  const free = new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true))
  })
  const answer = await free
  server.close()
  return answer
}
