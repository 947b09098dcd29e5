import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'

/** Listens on a free port, sends the port to the parent process, and ends with it. */
export async function serve(app: FastifyInstance): Promise<void> {
  await app.listen({ host: '127.0.0.1', port: 0 })
  ready(app.server.address())
}

/** Serves a server without Fastify in the same way. */
export async function serveListener(listener: RequestListener): Promise<void> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  ready(server.address())
}

function ready(address: AddressInfo | string | null): void {
  process.once('disconnect', () => process.exit())
  process.send?.({ port: (address as AddressInfo).port })
}
