import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyRequest } from 'fastify'

/** Idle connections are looked for this often while the app closes. */
const idleCheckMs = 100
/** A connection that has sent nothing for so long is idle too. */
const silentMs = 1_000
const requestsShownMax = 20

/** What keeps an app from closing. */
export interface OpenWork {
  readonly connections: number
  /** Method and route of requests without an answer. */
  readonly requests: readonly string[]
}

interface Connection {
  readonly openedAtMs: number
  /** The newest request, until it is answered. */
  request: FastifyRequest | null
}

/**
 * Ends the work of an app without losing a request: first its clients are asked to leave, then it
 * stops listening, and what is in flight is answered.
 */
export class Draining {
  readonly #app: FastifyInstance
  readonly #connections = new Map<Socket, Connection>()

  /** @param app that has all its routes and does not listen yet */
  constructor(app: FastifyInstance) {
    this.#app = app
    app.server.on('connection', (socket: Socket) => {
      this.#connections.set(socket, { openedAtMs: performance.now(), request: null })
      socket.once('close', () => this.#connections.delete(socket))
    })
    app.addHook('onRequest', (request, _reply, done) => {
      const connection = this.#connections.get(request.raw.socket)
      if (connection) connection.request = request
      done()
    })
    app.addHook('onResponse', (request, _reply, done) => {
      const connection = this.#connections.get(request.raw.socket)
      if (connection) connection.request = null
      done()
    })
  }

  /** Makes each answer close its connection. New connections are taken, and all requests answered. */
  start(): void {
    this.#app.server.prependListener('request', (_request, response) => {
      response.setHeader('connection', 'close')
    })
  }

  /** Stops listening and resolves when the last request is answered. Closes idle connections. */
  async close(): Promise<void> {
    const timer = setInterval(() => this.#closeIdle(), idleCheckMs)
    try {
      await this.#app.close()
    } finally {
      clearInterval(timer)
    }
  }

  get open(): OpenWork {
    const requests = [...this.#connections.values()].flatMap(({ request }) => request ?? [])
    return {
      connections: this.#connections.size,
      requests: requests
        .slice(0, requestsShownMax)
        .map(({ method, routeOptions }) => `${method} ${routeOptions.url ?? 'none'}`),
    }
  }

  /** Node does this once when the server closes; a connection may become idle after that. */
  #closeIdle(): void {
    const connections = [...this.#connections]
    // An answer that has ended counts as sent for Node, although a slow client may still read it.
    if (connections.some(([socket]) => socket.writableLength > 0)) return
    this.#app.server.closeIdleConnections()
    const since = performance.now() - silentMs
    for (const [socket, { openedAtMs }] of connections) {
      if (socket.bytesRead === 0 && openedAtMs < since) socket.destroy()
    }
  }
}
