import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { routeOf } from './metrics.ts'

/** Interval of closing idle connections during the shutdown. */
const idleCheckMs = 100
/** A connection that has sent nothing for this long is idle too. */
const silentMs = 1_000
/** Time for the rest of a request after the app has stopped listening. Node then checks no timeout. */
const defaultArrivalMs = 5_000
const maxRequestsShown = 20

/** The work that keeps an app from closing. */
export interface OpenWork {
  readonly connections: number
  /** Method and route of unanswered requests. */
  readonly requests: readonly string[]
}

interface Connection {
  readonly openedAtMs: number
  /** The reply to the newest request; null once it is sent. */
  reply: FastifyReply | null
}

/**
 * Shuts an app down without losing a request. First every response closes its connection, then the
 * app stops listening, and requests in progress are answered.
 */
export class Draining {
  readonly #app: FastifyInstance
  readonly #arrivalMs: number
  readonly #connections = new Map<Socket, Connection>()

  /**
   * @param app an app that does not listen yet
   * @param onUnanswered receives a reply whose connection closed before it began
   * @param arrivalMs time for the rest of a request after the app has stopped listening
   */
  constructor(
    app: FastifyInstance,
    onUnanswered: (reply: FastifyReply) => void = () => {},
    arrivalMs = defaultArrivalMs,
  ) {
    this.#app = app
    this.#arrivalMs = arrivalMs
    app.server.on('connection', (socket: Socket) => {
      const connection: Connection = { openedAtMs: performance.now(), reply: null }
      this.#connections.set(socket, connection)
      socket.once('close', () => {
        this.#connections.delete(socket)
        const { reply } = connection
        if (reply !== null && !reply.raw.headersSent) onUnanswered(reply)
      })
    })
    app.addHook('onRequest', (request, reply, done) => {
      const connection = this.#connections.get(request.raw.socket)
      if (connection) connection.reply = reply
      done()
    })
    app.addHook('onResponse', (request, reply, done) => {
      const connection = this.#connections.get(request.raw.socket)
      if (connection?.reply === reply) connection.reply = null
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
    const untilMs = performance.now() + this.#arrivalMs
    const timer = setInterval(() => this.#closeIdle(untilMs), idleCheckMs)
    try {
      await this.#app.close()
    } finally {
      clearInterval(timer)
    }
  }

  get open(): OpenWork {
    const replies = [...this.#connections.values()].flatMap(({ reply }) => reply ?? [])
    return {
      connections: this.#connections.size,
      requests: replies
        .slice(0, maxRequestsShown)
        .map(({ request }) => `${request.method} ${routeOf(request)}`),
    }
  }

  /**
   * Node closes idle connections once, but a connection may become idle later.
   *
   * @param untilMs when each request must have arrived
   */
  #closeIdle(untilMs: number): void {
    const nowMs = performance.now()
    // Node counts a response as sent although a slow client may still read it.
    const connections = [...this.#connections]
    const read = connections.filter(([socket]) => socket.writableLength === 0)
    if (read.length === connections.length) this.#app.server.closeIdleConnections()
    for (const [socket, { openedAtMs, reply }] of read) {
      const isSilent = socket.bytesRead === 0 && openedAtMs < nowMs - silentMs
      const hasArrived = reply?.request.raw.complete ?? false
      if (isSilent || (!hasArrived && nowMs > untilMs)) socket.destroy()
    }
  }
}
