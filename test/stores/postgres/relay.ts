import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'

/** A TCP proxy between a store and its server that fails like a network. */
export class Relay {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #port: number
  #mode: 'pass' | 'silent' | 'cut answers' = 'pass'

  private constructor(port: number) {
    this.#port = port
    this.#server = createServer((socket) => this.#accept(socket))
  }

  /** @param port of the server on this machine */
  static async start(t: Test, port: number): Promise<Relay> {
    const relay = new Relay(port)
    relay.#server.listen(0, '127.0.0.1')
    await once(relay.#server, 'listening')
    t.teardown(() => {
      for (const socket of relay.#sockets) socket.destroy()
      relay.#server.close()
    })
    return relay
  }

  /** Returns a URL with the proxy in place of the server. */
  through(url: string): string {
    const address = this.#server.address()
    if (typeof address !== 'object' || address === null) throw new Error('there is no port')
    return url.replace(/:\d+\//, `:${address.port}/`)
  }

  /** Accepts connections and passes nothing. */
  silence(): void {
    this.#mode = 'silent'
  }

  /** Passes everything again. */
  pass(): void {
    this.#mode = 'pass'
  }

  /** Closes all connections instead of passing the next response of the server. */
  cutNextAnswer(): void {
    this.#mode = 'cut answers'
  }

  #accept(near: Socket): void {
    const far = this.#mode === 'silent' ? null : connect(this.#port, '127.0.0.1')
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
    near.on('data', (data) => far?.write(data))
    far?.on('data', (data) => this.#answer(near, data))
  }

  #answer(near: Socket, data: Buffer): void {
    if (this.#mode === 'pass') near.write(data)
    if (this.#mode !== 'cut answers') return
    this.#mode = 'pass'
    for (const socket of this.#sockets) socket.destroy()
  }
}
