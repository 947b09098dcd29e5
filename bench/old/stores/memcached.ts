import { once } from 'node:events'
import { connect } from 'node:net'
import { freePort } from '../../../scripts/free-port.ts'
import type { Bench } from '../harness/scenario.ts'
import { type Store, startDaemon } from './daemon.ts'

/** One memcached with room for what a scenario stores. */
export async function startMemcached(bench: Bench): Promise<Store> {
  const port = await freePort()
  // It does not run as root, unless it is told to.
  const user = process.getuid?.() === 0 ? ['-u', 'root'] : []
  const pid = await startDaemon(
    {
      command: ['memcached', '-l', '127.0.0.1', '-p', String(port), '-m', '1024', ...user],
      cwd: bench.scratch,
      stopSignal: 'SIGTERM',
      isReady: () => ask(port, 'version'),
    },
    bench,
  )
  return { url: `memcached://127.0.0.1:${port}`, pid }
}

/** How many bytes all items take, with what memcached adds to each. */
export async function itemBytes(url: string): Promise<number> {
  const stats = await ask(Number(new URL(url).port), 'stats')
  return Number(/^STAT bytes (\d+)/m.exec(stats)?.[1])
}

async function ask(port: number, line: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    socket.write(`${line}\r\n`)
    let text = ''
    for await (const chunk of socket) {
      text += chunk
      if (/^(END|VERSION .*)\r\n$/m.test(text)) return text
    }
    throw new Error('memcached has not answered')
  } finally {
    socket.destroy()
  }
}
