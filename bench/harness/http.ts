import { Agent, type IncomingHttpHeaders, request } from 'node:http'
import { parseJson } from '../../src/core/json.ts'

/** Sends requests of the benchmark itself, many at a time. `fetch` would need too much of a core. */

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

/** Timeout, as in @gatepass/browser: shorter than the grace period, so that a retry falls within it. */
const answerTimeoutMs = 8_000

export function createAgent(maxSockets: number): Agent {
  return new Agent({ keepAlive: true, maxSockets, scheduling: 'lifo' })
}

/** Sends a call once. Never rejects. */
export function exchange(url: string, agent: Agent, call: HttpCall): Promise<Answer> {
  const { method, path } = call
  const body = call.body === undefined ? '' : JSON.stringify(call.body)
  const length = { 'content-length': Buffer.byteLength(body) }
  const ofBody = body === '' ? {} : { 'content-type': 'application/json', ...length }
  const headers = { ...call.headers, ...ofBody }
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
    outgoing.end(body)
  })
}

export function noAnswer(code: string): Answer {
  return { status: 0, headers: {}, body: { code } }
}

/** Runs work for each item, with a limit on concurrency. */
export async function inTurns<T>(
  all: readonly T[],
  atOnce: number,
  work: (one: T) => Promise<void>,
): Promise<void> {
  const queue = all.values()
  const worker = async () => {
    for (const one of queue) await work(one)
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}
