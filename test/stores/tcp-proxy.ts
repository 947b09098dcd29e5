import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'
import { startTcpServer } from '../support/tcp-server.ts'

/** A TCP proxy between a store and its server that fails like a network. */
export class TcpProxy {
  /** The bytes that the store has sent, as Latin-1. A test may clear them. */
  sent = ''
  readonly #sockets = new Set<Socket>()
  readonly #serverPort: number
  #port = 0
  #isSilent = false
  #onLoss: (() => Promise<unknown>) | null = null
  #lossHandled: Promise<unknown> = Promise.resolve()

  private constructor(serverPort: number) {
    this.#serverPort = serverPort
  }

  /** @param serverPort of the server on this machine */
  static async start(t: Test, serverPort: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(serverPort)
    const { port } = await startTcpServer(t, (socket) => proxy.#accept(socket))
    proxy.#port = port
    return proxy
  }

  /** Returns a URL with the proxy in place of the server. */
  through(url: string): string {
    return url.replace(/:\d+(?=\/|$)/, `:${this.#port}`)
  }

  /** Accepts connections and passes nothing, until `pass`. */
  silence(): void {
    this.#isSilent = true
  }

  /** Passes everything again. */
  pass(): void {
    this.#isSilent = false
  }

  /**
   * Closes all connections instead of passing the next response of the server.
   * @param onLoss runs then, before the proxy passes the next request
   */
  loseNextResponse(onLoss: () => Promise<unknown> = () => Promise.resolve()): void {
    this.#onLoss = onLoss
  }

  #accept(near: Socket): void {
    const far = this.#isSilent ? null : connect(this.#serverPort, '127.0.0.1')
    for (const socket of [near, far]) {
      if (socket === null) continue
      this.#sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        this.#sockets.delete(socket)
        near.destroy()
        far?.destroy()
      })
    }
    near.on('data', (data) => {
      this.sent += data.toString('latin1')
      this.#lossHandled.then(() => far?.write(data))
    })
    far?.on('data', (data) => this.#respond(near, data))
  }

  #respond(near: Socket, data: Buffer): void {
    if (this.#isSilent) return
    if (this.#onLoss === null) {
      near.write(data)
      return
    }
    this.#lossHandled = this.#onLoss()
    this.#onLoss = null
    for (const socket of this.#sockets) socket.destroy()
  }
}
