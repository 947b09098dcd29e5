import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { type TestProcess, untilStatus } from './processes.ts'
import { until } from './until.ts'

/** Pause of a client after a response. */
const pauseMs = 10
/** Responses that each client must have after the last restart. */
const answersAfter = 50

/** A service in its own process, which can be restarted at the same ports. */
export class Replica {
  readonly #start: () => TestProcess
  readonly #readyUrl: string
  #process: TestProcess

  constructor(start: () => TestProcess, readyUrl: string) {
    this.#start = start
    this.#readyUrl = readyUrl
    this.#process = start()
  }

  ready(): Promise<void> {
    return untilStatus(this.#readyUrl, 200)
  }

  /** Resolves when the new process is ready. */
  async restart(t: Test): Promise<void> {
    const old = this.#process
    t.equal(await old.stop(), 0, old.stderr)
    t.match(old.stdout, /"msg":"stopped"/)
    this.#process = this.#start()
    await this.ready()
  }
}

interface Call {
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /** With a body, the request is a POST. */
  readonly body?: string
}

/** Returns a function that sends a request on one persistent connection and returns the status. */
export function callerOf(t: Test, port: number): (call: Call) => Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  return async ({ path, headers = {}, body }) => {
    const method = body === undefined ? 'GET' : 'POST'
    const sent = request({ host: '127.0.0.1', port, path, method, headers, agent }).end(body)
    const [response] = await once(sent, 'response')
    await response.resume().toArray()
    return response.statusCode
  }
}

/** A client that sends requests repeatedly and records all outcomes but 200. */
export class Client {
  readonly failures: unknown[] = []
  answers = 0
  readonly #ask: () => Promise<number>

  /** @param ask sends a request and returns the status of the response */
  constructor(ask: () => Promise<number>) {
    this.#ask = ask
  }

  async run(end: AbortSignal): Promise<void> {
    while (!end.aborted) {
      const outcome = await this.#ask().catch(String)
      if (outcome !== 200) this.failures.push(outcome)
      this.answers += 1
      await sleep(pauseMs)
    }
  }
}

/** Restarts the replicas one after the other while the clients send requests. */
export async function restartUnder(
  t: Test,
  clients: readonly Client[],
  replicas: readonly Replica[],
): Promise<void> {
  const end = new AbortController()
  const ended = Promise.all(clients.map((client) => client.run(end.signal)))
  for (const replica of replicas) await replica.restart(t)
  const enough = clients.map(({ answers }) => answers + answersAfter)
  const isEnough = () => clients.every(({ answers }, n) => answers >= (enough[n] ?? 0))
  await until('all clients continue', isEnough)
  end.abort()
  await ended
}
