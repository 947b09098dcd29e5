import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'

/**
 * Serves TCP on 127.0.0.1 until the test ends, when it closes all connections.
 *
 * @param serve Default: accepts connections and stays silent.
 * @param port Default: a free one.
 */
export async function startTcpServer(
  t: Test,
  serve: (socket: Socket) => void = () => {},
  port = 0,
): Promise<{ readonly port: number; readonly server: Server }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    serve(socket)
  })
  await once(server.listen(port, '127.0.0.1'), 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, server }
}
