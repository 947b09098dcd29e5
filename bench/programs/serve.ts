import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'

/** Listens on a free port, says which, and ends with the process that started it. */
export async function serve(app: FastifyInstance): Promise<void> {
  await app.listen({ host: '127.0.0.1', port: 0 })
  ready(app.server.address())
}

/** The same for what is no app of Fastify. */
export async function serveListener(listener: RequestListener): Promise<void> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  ready(server.address())
}

function ready(address: AddressInfo | string | null): void {
  process.once('disconnect', () => process.exit())
  process.send?.({ port: (address as AddressInfo).port })
}
