import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { startHttpServer } from '../support/http-server.ts'
import type { TestKey } from '../support/tokens.ts'

type Handler = (request: IncomingMessage, response: ServerResponse) => void

/** An issuer's key address that does what the test says, and counts. */
export class JwksServer {
  requests = 0
  answer: Handler = serve([])
  readonly #server: Server

  constructor() {
    this.#server = createServer((request, response) => {
      this.requests += 1
      this.answer(request, response)
    })
  }

  static async open(t: Test, answer: Handler): Promise<JwksServer> {
    const server = new JwksServer()
    server.answer = answer
    await startHttpServer(t, server.#server)
    return server
  }

  get issuer(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Resolves at the next request. */
  async nextRequest(): Promise<void> {
    await once(this.#server, 'request')
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}

/** Publishes these keys. */
export function serve(keys: readonly TestKey[], headers: Record<string, string> = {}): Handler {
  return respond(200, JSON.stringify({ keys: keys.map((key) => key.publicJwk) }), headers)
}

export function respond(
  status: number,
  body: string,
  headers: Record<string, string> = {},
): Handler {
  return (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body)
  }
}
