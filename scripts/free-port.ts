import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/*
 * Below the ports that Linux hands out by itself (from 32768 on). One of those is soon taken by any
 * connection that somebody makes, before the program that was told to listen on it has started.
 */
const first = 20_000
const afterLast = 32_000

const given = new Set<number>()

/** A port that is free now, for programs that can't tell which one they took. Never twice the same. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(first, afterLast)
    if (given.has(port) || !(await isFree(port))) continue
    given.add(port)
    return port
  }
}

/** Whether nobody listens there on 127.0.0.1. */
export async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  const free = new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true))
  })
  const answer = await free
  await new Promise((resolve) => server.close(resolve))
  return answer
}
