import { Agent, type IncomingHttpHeaders, request } from 'node:http'
import { parseJson } from '../../src/core/json.ts'

/** The HTTP client of the benchmark. `fetch` would need too much of a core. */

export type Headers = Readonly<Record<string, string>>

export interface HttpCall {
  readonly method: string
  readonly path: string
  readonly headers?: Headers
  readonly body?: unknown
}

export interface Answer {
  /** The status, or 0 without a response. */
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** The body, parsed if it is JSON. */
  readonly body: unknown
}

/** As in @gatepass/browser: shorter than the grace period, so that a retry falls within it. */
const answerTimeoutMs = 8_000

export function createAgent(maxSockets: number): Agent {
  return new Agent({ keepAlive: true, maxSockets, scheduling: 'lifo' })
}

/** Sends a call once. Never rejects. */
export function exchange(url: string, agent: Agent, call: HttpCall): Promise<Answer> {
  const { method, path, body } = call
  const headers = {
    ...call.headers,
    ...(body !== undefined && { 'content-type': 'application/json' }),
  }
  const options = { method, agent, timeout: answerTimeoutMs, headers }
  return new Promise((resolve) => {
    const fail = ({ code }: NodeJS.ErrnoException) => resolve(noAnswer(code ?? 'unknown'))
    const outgoing = request(new URL(path, url), options, (response) => {
      const { statusCode: status = 0, headers } = response
      let text = ''
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part
      })
      response.on('error', fail)
      response.on('end', () => resolve({ status, headers, body: parseJson(text) }))
    })
    outgoing.on('timeout', () => outgoing.destroy(Object.assign(new Error(), { code: 'TIMEOUT' })))
    outgoing.on('error', fail)
    outgoing.end(JSON.stringify(body) ?? '')
  })
}

export function noAnswer(code: string): Answer {
  return { status: 0, headers: {}, body: { code } }
}

/** Runs work for each item, with a limit on concurrency. */
export async function inTurns<T>(
  all: Iterable<T>,
  atOnce: number,
  work: (one: T) => Promise<unknown>,
): Promise<void> {
  const queue = Iterator.from(all)
  const worker = async () => {
    for (const one of queue) await work(one)
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}
