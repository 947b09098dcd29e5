import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import type { Call } from '../system.ts'

/** One request, sent once. */
export interface Exchange {
  /** 0 when there was no answer. */
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** Why there was no answer: the code of the error. */
  readonly reason: string
}

/** As in gatepass/browser: less than the grace period, so that a repeat still falls into it. */
const answerMsMax = 8_000

/** The server has answered, and nobody heard it. */
const lost: Exchange = { status: 0, headers: {}, text: '', reason: 'lost on the way' }

/** Connections that all users share, as behind a CDN. */
export class Exchanger {
  readonly #agent: Agent
  readonly #url: URL

  constructor(url: string, connections: number) {
    this.#url = new URL(url)
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections, scheduling: 'lifo' })
  }

  async send(call: Call, headers: Readonly<Record<string, string>>): Promise<Exchange> {
    const exchange = await this.#send(call, headers)
    return Math.random() < (call.lossShare ?? 0) ? lost : exchange
  }

  #send(call: Call, headers: Readonly<Record<string, string>>): Promise<Exchange> {
    const body = call.body === undefined ? undefined : JSON.stringify(call.body)
    return exchangeAt(
      new URL(call.path, this.#url),
      {
        method: call.method,
        agent: this.#agent,
        headers: {
          ...headers,
          ...call.headers,
          ...(body !== undefined && {
            'content-type': 'application/json',
            'content-length': String(Buffer.byteLength(body)),
          }),
        },
      },
      body,
    )
  }

  close(): void {
    this.#agent.destroy()
  }
}

interface Options {
  readonly method: string
  readonly agent: Agent
  readonly headers: Readonly<Record<string, string>>
}

/** Never rejects. */
export function exchangeAt(url: URL | string, options: Options, body?: string): Promise<Exchange> {
  return new Promise((resolve) => {
    const lost = (error: NodeJS.ErrnoException) =>
      resolve({ status: 0, headers: {}, text: '', reason: error.code ?? error.message })
    const outgoing = request(url, { ...options, timeout: answerMsMax }, (response) => {
      collect(response, lost, (text) =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text,
          reason: '',
        }),
      )
    })
    outgoing.on('timeout', () => outgoing.destroy(Object.assign(new Error(), { code: 'TIMEOUT' })))
    outgoing.on('error', lost)
    outgoing.end(body)
  })
}

function collect(
  response: IncomingMessage,
  lost: (error: Error) => void,
  done: (text: string) => void,
): void {
  let text = ''
  response.setEncoding('utf8')
  response.on('data', (part: string) => {
    text += part
  })
  response.on('error', lost)
  response.on('end', () => done(text))
}
