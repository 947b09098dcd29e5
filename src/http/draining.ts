import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyRequest } from 'fastify'

/** Interval of closing idle connections during the shutdown. */
const idleCheckMs = 100
/** A connection that has sent nothing for this long is idle too. */
const silentMs = 1_000
const maxRequestsShown = 20

/** The work that keeps an app from closing. */
export interface OpenWork {
  readonly connections: number
  /** Method and route of unanswered requests. */
  readonly requests: readonly string[]
}

interface Connection {
  readonly openedAtMs: number
  /** The newest request; null once it is answered. */
  request: FastifyRequest | null
}

/**
 * Shuts an app down without losing a request. First every response closes its connection, then the
 * app stops listening, and requests in progress are answered.
 */
export class Draining {
  readonly #app: FastifyInstance
  readonly #connections = new Map<Socket, Connection>()

  /** @param app an app that does not listen yet */
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

  /** Makes each response close its connection. New connections are accepted and answered. */
  start(): void {
    this.#app.server.prependListener('request', (_request, response) => {
      response.setHeader('connection', 'close')
    })
  }

  /** Stops listening, closes idle connections, and resolves when the last request is answered. */
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
        .slice(0, maxRequestsShown)
        .map(({ method, routeOptions }) => `${method} ${routeOptions.url ?? 'none'}`),
    }
  }

  /** Node closes idle connections once, but a connection may become idle later. */
  #closeIdle(): void {
    const connections = [...this.#connections]
    // Node counts a response as sent although a slow client may still read it.
    if (connections.some(([socket]) => socket.writableLength > 0)) return
    this.#app.server.closeIdleConnections()
    const silentSinceMs = performance.now() - silentMs
    for (const [socket, { openedAtMs }] of connections) {
      if (socket.bytesRead === 0 && openedAtMs < silentSinceMs) socket.destroy()
    }
  }
}
