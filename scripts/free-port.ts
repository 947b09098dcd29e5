import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'

/*
 * Below the ports that Linux hands out by itself (from 32768 on). One of those is soon taken by any
 * connection that somebody makes, before the program that was told to listen on it has started.
 */
const first = 20_000
const afterLast = 32_000

/** A port that is free, for programs that can't tell which one they took. See `freePorts`. */
export async function freePort(): Promise<number> {
  return freePorts([0])
}

/**
 * A port with free ones at these distances above it. No other call gets one of them while this process
 * runs, in whatever process: programs start long after the look, and some start again.
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

/** The UDP socket of the same number stands for a TCP port: the kernel gives it to one process. */
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

/** Whether nobody listens there on any address. */
export async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  const free = new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false)).listen(port, '0.0.0.0', () => resolve(true))
  })
  const answer = await free
  await new Promise((resolve) => server.close(resolve))
  return answer
}
