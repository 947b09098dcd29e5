import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'

/*
 * Below the ports that Linux assigns by itself (from 32768 on). Any connection may take one of
 * those before the program that needs it has started.
 */
const first = 20_000
const afterLast = 32_000

/**
 * Returns a free port, for programs that cannot report the port that they chose. See `freePorts`.
 */
export async function freePort(): Promise<number> {
  return freePorts([0])
}

/**
 * Returns a port with free ports at these distances above it. While this process runs, no other
 * call in any process returns one of them, because programs start later, and some start again.
 */
export async function freePorts(above: readonly number[]): Promise<number> {
  for (;;) {
    const port = randomInt(first, afterLast - Math.max(...above))
    const all = above.map(async (distance) => {
      return (await claim(port + distance)) && (await isFree(port + distance))
    })
    if ((await Promise.all(all)).every(Boolean)) return port
  }
}

/**
 * Claims a TCP port by the UDP socket with its number, which the kernel gives to one process only.
 */
async function claim(port: number): Promise<boolean> {
  const socket = createSocket('udp4').unref()
  try {
    await once(socket.bind({ port, address: '127.0.0.1', exclusive: true }), 'listening')
    return true
  } catch {
    socket.close()
    return false
  }
}

/** Returns whether no program listens on the port, on any address. */
export async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  const free = new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false)).listen(port, '0.0.0.0', () => resolve(true))
  })
  const answer = await free
  await new Promise((resolve) => server.close(resolve))
  return answer
}
