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

/**
 * Ends the work of an app without losing a request: first its clients are asked to leave, then it
 * stops listening, and what is in flight is answered.
 */
export class Draining {
  readonly #app: FastifyInstance
  readonly #openedAtMs = new Map<Socket, number>()
  readonly #requests = new Set<FastifyRequest>()

  /** @param app that has all its routes and does not listen yet */
  constructor(app: FastifyInstance) {
    this.#app = app
    app.server.on('connection', (socket: Socket) => {
      this.#openedAtMs.set(socket, performance.now())
      socket.once('close', () => this.#openedAtMs.delete(socket))
    })
    app.addHook('onRequest', (request, reply, done) => {
      this.#requests.add(request)
      // The hook `onResponse` is not called for a client that has gone.
      reply.raw.once('close', () => this.#requests.delete(request))
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
    const requests = [...this.#requests].slice(0, requestsShownMax)
    return {
      connections: this.#openedAtMs.size,
      requests: requests.map(
        ({ method, routeOptions }) => `${method} ${routeOptions.url ?? 'none'}`,
      ),
    }
  }

  /** Node does this once when the server closes; a connection may become idle after that. */
  #closeIdle(): void {
    const sockets = [...this.#openedAtMs]
    // An answer that has ended counts as sent for Node, although a slow client may still read it.
    if (sockets.some(([socket]) => socket.writableLength > 0)) return
    this.#app.server.closeIdleConnections()
    const since = performance.now() - silentMs
    for (const [socket, openedAtMs] of sockets) {
      if (socket.bytesRead === 0 && openedAtMs < since) socket.destroy()
    }
  }
}
