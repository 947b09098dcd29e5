import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

export interface TestServer {
  readonly port: number
  readonly url: string
  /** Stops listening and closes all connections. */
  close(): Promise<void>
}

/**
 * Serves HTTP on 127.0.0.1 until the test ends.
 * @param served a handler, or a server that has one
 * @param port by default a free one
 */
export async function startHttpServer(
  t: Test,
  served: RequestListener | Server,
  port = 0,
): Promise<TestServer> {
  const server = typeof served === 'function' ? createServer(served) : served
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const close = async () => {
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }
  t.teardown(close)
  const address = server.address() as AddressInfo
  return { port: address.port, url: `http://127.0.0.1:${address.port}`, close }
}

/** Returns a `fetch` for which a public URL leads to a port of this machine, as behind a reverse proxy. */
export function fetchThrough(publicUrl: string, port: number | string): typeof fetch {
  return (url, init) => fetch(String(url).replace(publicUrl, `http://127.0.0.1:${port}`), init)
}
