import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'

/** Listens on a free port, sends the port to the parent process, and ends with it. */
export async function serve(app: FastifyInstance): Promise<void> {
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  sendPort(Number(new URL(url).port))
}

/** Serves a server without Fastify in the same way. */
export async function serveListener(listener: RequestListener): Promise<void> {
  sendPort(await listen(listener))
}

/** @returns a free port, on which the server listens */
export async function listen(listener: RequestListener): Promise<number> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

function sendPort(port: number): void {
  process.once('disconnect', () => process.exit())
  process.send?.({ port })
}
