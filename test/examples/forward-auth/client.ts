import { once } from 'node:events'
import { type IncomingHttpHeaders, request } from 'node:http'

/** Names and values in turn, sent as they are: in this case, and as often as they stand here. */
export type RawHeaders = readonly string[]

export interface Call {
  readonly path?: string
  readonly method?: string
  readonly headers?: RawHeaders
  readonly body?: string
}

export interface Answer {
  readonly status: number | undefined
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: RawHeaders
  readonly body: string
}

/** A client that sends paths and headers exactly as they are given, even malformed ones. */
export function clientOf(port: number, host = '127.0.0.1'): (call: Call) => Promise<Answer> {
  return async ({ path = '/', method = 'GET', headers = [], body = '' }) => {
    const ownConnection = namesOf(headers).includes('connection') ? [] : ['Connection', 'close']
    const length = body === '' ? [] : ['Content-Length', String(Buffer.byteLength(body))]
    const sent = request({
      host,
      port,
      method,
      path,
      agent: false,
      headers: ['Host', `${host}:${port}`, ...ownConnection, ...length, ...headers],
    }).end(body)
    const [response] = await once(sent, 'response')
    const text = Buffer.concat(await response.toArray()).toString()
    const { statusCode: status, rawHeaders } = response
    return { status, headers: response.headers, rawHeaders, body: text }
  }
}

/** The names, in small letters. */
export function namesOf(headers: RawHeaders): string[] {
  return headers.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase())
}

/** The headers whose names begin with `start` if every separator is read as a hyphen. */
export function headersLike(headers: RawHeaders, start: string): (readonly [string, string])[] {
  return namesOf(headers)
    .map((name, index) => [name, headers[index * 2 + 1] ?? ''] as const)
    .filter(([name]) => name.replaceAll(/[^a-z0-9]/g, '-').startsWith(start))
    .sort()
}
