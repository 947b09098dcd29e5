import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'

/** A TCP proxy between a store and its server that counts scripts and can lose a response. */
export class Wire {
  scripts = 0
  losesNextAnswer = false
  /** Runs after a lost response, before the next command passes. */
  afterLoss: () => Promise<unknown> = async () => {}
  #pause: Promise<unknown> = Promise.resolve()
  readonly #server = createServer((client) => this.#connect(client))
  readonly #sockets = new Set<Socket>()
  readonly #port: number

  private constructor(port: number) {
    this.#port = port
  }

  static async start(t: Test, port: number): Promise<{ wire: Wire; url: string }> {
    const wire = new Wire(port)
    const server = wire.#server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => {
      for (const socket of wire.#sockets) socket.destroy()
      server.close()
    })
    return { wire, url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}` }
  }

  #connect(client: Socket): void {
    const server = connect(this.#port, '127.0.0.1')
    const both = [client, server]
    for (const socket of both) {
      this.#sockets.add(socket)
      socket.on('error', () => {}).on('close', () => both.map((one) => one.destroy()))
    }
    client.on('data', (data) => {
      this.scripts += data.toString('latin1').split('EVALSHA').length - 1
      this.#pause.then(() => server.write(data))
    })
    server.on('data', (data) => {
      if (!this.losesNextAnswer) {
        client.write(data)
        return
      }
      this.losesNextAnswer = false
      this.#pause = this.afterLoss()
      client.destroy()
    })
  }
}
