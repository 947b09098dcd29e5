import { Agent, type IncomingMessage, request } from 'node:http'
import type { Client, Request } from 'autocannon'
import type { LoadEvents, LoadSpec, RunningLoad } from './load.ts'
import { createSetUp } from './traffic.ts'

const tickMs = 1

/**
 * So many requests a second, whether the server keeps up or not. A request that finds every
 * connection taken waits for one, and its time counts from when it was due.
 */
export function startPaced(
  { url, connections, traffic }: LoadSpec,
  perSecond: number,
  events: LoadEvents,
): RunningLoad {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const free = Array.from({ length: connections }, () => new PacedClient())
  if (traffic.kind === 'tokens') throw new Error('tokens are not sent at a pace')
  const setUp = createSetUp(traffic, connections, events.failed)
  free.forEach(setUp)
  const due_ms: number[] = []
  const startedAtMs = performance.now()
  let scheduled = 0

  const send = (client: PacedClient, dueAtMs: number): void => {
    client.send(url, agent, (error, status) => {
      if (error !== null) events.failed(error.message)
      else events.answered(status, performance.now() - dueAtMs)
      const next_ms = due_ms.shift()
      if (next_ms === undefined) free.push(client)
      else send(client, next_ms)
    })
  }
  const timer = setInterval(() => {
    const nowMs = performance.now()
    for (; scheduled < ((nowMs - startedAtMs) * perSecond) / 1000; scheduled++) {
      const client = free.shift()
      if (client === undefined) due_ms.push(nowMs)
      else send(client, nowMs)
    }
  }, tickMs)
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  const stop = () => {
    clearInterval(timer)
    agent.destroy()
    resolve()
  }
  return { ended, stop }
}

/** One connection, with the requests that it sends in turn. */
class PacedClient implements Client {
  #requests: readonly Request[] = []
  #position = 0
  #body: string | undefined

  setRequests(requests: readonly Request[]): void {
    this.#requests = requests
    this.#body = requests[0]?.body
  }

  setBody(body: string): void {
    this.#body = body
  }

  send(url: string, agent: Agent, done: (error: Error | null, status: number) => void): void {
    const sent = this.#requests[this.#position]
    if (sent === undefined) throw new RangeError('there is nothing to send')
    const { method, path, headers, onResponse } = sent
    const length = { 'content-length': Buffer.byteLength(this.#body ?? '') }
    const outgoing = request(
      `${url}${path}`,
      { method, agent, headers: { ...headers, ...length } },
      async (response: IncomingMessage) => {
        const chunks: Buffer[] = []
        for await (const chunk of response) chunks.push(chunk)
        onResponse?.(response.statusCode ?? 0, Buffer.concat(chunks).toString())
        this.#advance()
        done(null, response.statusCode ?? 0)
      },
    )
    outgoing.on('error', (error) => done(error, 0))
    outgoing.end(this.#body)
  }

  /** To the next request, unless the answer has put another body into the only one. */
  #advance(): void {
    if (this.#requests.length === 1) return
    this.#position = (this.#position + 1) % this.#requests.length
    this.#body = this.#requests[this.#position]?.body
  }
}
