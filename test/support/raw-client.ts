import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'

/** One connection for raw HTTP. It stays open until the server closes it. */
export class RawClient {
  readonly connected: Promise<unknown>
  /** Resolves when the server has closed the connection. */
  readonly closed: Promise<unknown>
  readonly #socket: Socket
  #received = ''

  constructor(t: Test, port: number) {
    this.#socket = connect(port, '127.0.0.1')
    this.connected = once(this.#socket, 'connect')
    this.closed = once(this.#socket, 'close')
    this.#socket.setEncoding('latin1').on('data', (text: string) => {
      this.#received += text
    })
    t.teardown(() => this.#socket.destroy())
  }

  send(text: string): void {
    this.#socket.write(text)
  }

  /** Closes the connection immediately. */
  leave(): void {
    this.#socket.destroy()
  }

  /** Sends a request and returns the whole response, which has a `Content-Length`. */
  async ask(request: string): Promise<string> {
    this.#received = ''
    this.send(request)
    while (!this.#isWhole()) await once(this.#socket, 'data')
    return this.#received
  }

  #isWhole(): boolean {
    const [head = '', body] = this.#received.split('\r\n\r\n')
    const length = Number(/^content-length: (\d+)/im.exec(head)?.[1])
    return body !== undefined && body.length >= length
  }
}
