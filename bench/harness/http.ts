import { Agent, type IncomingHttpHeaders, request } from 'node:http'

/** Requests of the benchmark itself, many at a time: `fetch` takes too much of a core for that. */

export type Headers = Readonly<Record<string, string>>

export interface HttpCall {
  readonly method: string
  readonly path: string
  readonly headers?: Headers
  /** Sent as JSON. */
  readonly body?: unknown
}

export interface Answer {
  /** 0 when there was none. */
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Parsed, where it is JSON. */
  readonly body: unknown
}

/** As in @gatepass/browser: less than the grace period, so that a repeat still falls into it. */
const answerTimeoutMs = 8_000

/** Connections that are kept, the one that was used last first. */
export function createAgent(maxSockets: number): Agent {
  return new Agent({ keepAlive: true, maxSockets, scheduling: 'lifo' })
}

/** Sends a call once. Never rejects. */
export function exchange(url: string, agent: Agent, call: HttpCall): Promise<Answer> {
  const { method, path } = call
  const body = call.body === undefined ? '' : JSON.stringify(call.body)
  const length = { 'content-length': Buffer.byteLength(body) }
  const ofBody = body === '' ? {} : { 'content-type': 'application/json', ...length }
  const options = {
    ...{ method, agent, timeout: answerTimeoutMs },
    headers: { ...call.headers, ...ofBody },
  }
  return new Promise((resolve) => {
    const fail = ({ code }: NodeJS.ErrnoException) => resolve(noAnswer(code ?? 'unknown'))
    const outgoing = request(new URL(path, url), options, (response) => {
      const { statusCode: status = 0, headers } = response
      let text = ''
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part
      })
      response.on('error', fail)
      response.on('end', () => resolve({ status, headers, body: parse(text) }))
    })
    outgoing.on('timeout', () => outgoing.destroy(Object.assign(new Error(), { code: 'TIMEOUT' })))
    outgoing.on('error', fail)
    outgoing.end(body)
  })
}

export function noAnswer(code: string): Answer {
  return { status: 0, headers: {}, body: { code } }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** Does some work for each of all, so many at once. */
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
