import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'

/** Listens on a free port, tells the parent, and ends with it. */
export async function serve(app: FastifyInstance): Promise<void> {
  process.once('disconnect', () => process.exit())
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  process.send?.({ type: 'ready', port })
}
