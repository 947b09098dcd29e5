import { createServer } from 'node:net'

/*
 * Below the ports that Linux hands out by itself (from 32768 on). One of those is soon taken by any
 * connection that somebody makes, before the program that was told to listen on it has started.
 */
const first = 20_000
const count = 12_000

/** Processes that run side by side begin far from each other, as their numbers are near. */
let next = process.pid * 40

/** A port that is free now, for programs that can't tell which one they took. Never twice the same. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = first + (next++ % count)
    if (await isFree(port)) return port
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
