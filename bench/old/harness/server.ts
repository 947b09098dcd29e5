import { Child, type ChildSpec } from './child.ts'
import type { Bench } from './scenario.ts'

const readyTimeoutMs = 10_000
const readyPollMs = 20

/** What a server says by message when it takes requests; the same from ours and from a service. */
interface ReadyMessage {
  readonly port: number
  /** Services say more at this one: whether they have their keys. */
  readonly adminPort?: number
}

export type ServerSpec = Omit<ChildSpec, 'core'>

export interface Server {
  readonly pid: number
  readonly url: string
  /** Where a service tells its metrics; null of what is none. */
  readonly adminUrl: string | null
  /** How long it took from the start of the process until it took requests. */
  readonly ready_ms: number
  stop(): Promise<void>
}

/** Starts a server on its core and waits until it can answer. */
export async function startServer(spec: ServerSpec, bench: Bench): Promise<Server> {
  const startedAtMs = performance.now()
  const child = new Child({ ...spec, core: 'server' }, bench.cores)
  try {
    const { port, adminPort } = await child.message<ReadyMessage>()
    const ready_ms = performance.now() - startedAtMs
    const adminUrl = adminPort === undefined ? null : `http://127.0.0.1:${adminPort}`
    if (adminUrl !== null) await untilReady(`${adminUrl}/readyz`)
    const url = `http://127.0.0.1:${port}`
    return { pid: child.pid, url, adminUrl, ready_ms, stop: () => child.stop() }
  } catch (error) {
    await child.stop()
    throw error
  }
}

async function untilReady(url: string): Promise<void> {
  const deadline = AbortSignal.timeout(readyTimeoutMs)
  for (;;) {
    const response = await fetch(url, { signal: deadline })
    await response.arrayBuffer()
    if (response.ok) return
    await new Promise((resolve) => setTimeout(resolve, readyPollMs))
  }
}
