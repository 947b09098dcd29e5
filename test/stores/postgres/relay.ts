import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'

/** A peer between a store and its server that can fail as a network does. */
export class Relay {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #port: number
  #mode: 'pass' | 'silent' | 'cut answers' = 'pass'

  private constructor(port: number) {
    this.#port = port
    this.#server = createServer((socket) => this.#accept(socket))
  }

  /** @param port where the server is, on this machine */
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

  /** The URL with this in place of the server. */
  through(url: string): string {
    const address = this.#server.address()
    if (typeof address !== 'object' || address === null) throw new Error('there is no port')
    return url.replace(/:\d+\//, `:${address.port}/`)
  }

  /** From now on it accepts, and nothing comes back. */
  silence(): void {
    this.#mode = 'silent'
  }

  /** Lets what comes from now on through. */
  pass(): void {
    this.#mode = 'pass'
  }

  /** The server does what it is asked; its next answer ends all connections instead of arriving. */
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
