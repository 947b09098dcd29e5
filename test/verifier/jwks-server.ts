import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Test } from 'tap'
import { startHttpServer, type TestServer } from '../support/http-server.ts'
import type { TestKey } from '../support/tokens.ts'

type Handler = (request: IncomingMessage, response: ServerResponse) => void

/** An issuer that publishes its keys as the test says, and counts the requests. */
export class JwksServer {
  requests = 0
  answer: Handler
  readonly #server: Server
  readonly #running: TestServer

  private constructor(server: Server, running: TestServer, answer: Handler) {
    this.answer = answer
    this.#server = server
    this.#running = running
    server.on('request', (request, response) => {
      this.requests += 1
      this.answer(request, response)
    })
  }

  static async open(t: Test, answer: Handler): Promise<JwksServer> {
    const server = createServer()
    return new JwksServer(server, await startHttpServer(t, server), answer)
  }

  get issuer(): string {
    return this.#running.url
  }

  /** Resolves at the next request. */
  async nextRequest(): Promise<void> {
    await once(this.#server, 'request')
  }

  close(): Promise<void> {
    return this.#running.close()
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
