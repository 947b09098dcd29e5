import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from '@redis/client'
import { freePort } from '../../../scripts/free-port.ts'
import type { Bench } from '../harness/scenario.ts'
import { type Store, startDaemon } from './daemon.ts'

/**
 * As docs/stores.md has it, with what Redis does by default: each write is in the append-only file,
 * which is flushed every second. The file is not rewritten meanwhile, as that would take the core of
 * the load at an instant of its own choice.
 */
const settings = {
  appendonly: 'yes',
  appendfsync: 'everysec',
  'maxmemory-policy': 'noeviction',
  save: '',
  'auto-aof-rewrite-percentage': '0',
}

export async function startRedis(bench: Bench): Promise<Store> {
  const port = await freePort()
  const cwd = join(bench.scratch, 'redis')
  mkdirSync(cwd)
  const url = `redis://127.0.0.1:${port}`
  const options = { ...settings, port: String(port), bind: '127.0.0.1' }
  const pid = await startDaemon(
    {
      command: ['redis-server', ...Object.entries(options).flatMap(([k, v]) => [`--${k}`, v])],
      cwd,
      stopSignal: 'SIGTERM',
      isReady: () => withRedis(url, (redis) => redis.ping()),
    },
    bench,
  )
  return { url, pid }
}

export async function withRedis<T>(
  url: string,
  work: (redis: ReturnType<typeof createClient>) => Promise<T>,
): Promise<T> {
  const redis = createClient({ url, socket: { reconnectStrategy: false } })
  // The command that fails says so as well.
  redis.on('error', () => {})
  await redis.connect()
  try {
    return await work(redis as ReturnType<typeof createClient>)
  } finally {
    redis.destroy()
  }
}

/** What is stored takes so much memory. */
export function usedMemory_bytes(url: string): Promise<number> {
  return withRedis(url, async (redis) => {
    const info = String(await redis.sendCommand(['INFO', 'memory']))
    return Number(/^used_memory:(\d+)/m.exec(info)?.[1])
  })
}

/**
 * How many round trips clients have made while something was done that sends one command after the other:
 * so often has the server read something that was not our own question, or the ping of an idle client.
 */
export function roundTripsOf(url: string, work: () => Promise<void>): Promise<number> {
  return withRedis(url, async (redis) => {
    await redis.sendCommand(['CONFIG', 'RESETSTAT'])
    await work()
    const info = String(await redis.sendCommand(['INFO', 'stats', 'commandstats']))
    const figure = (pattern: RegExp) => Number(pattern.exec(info)?.[1] ?? 0)
    const reads = figure(/^total_reads_processed:(\d+)/m)
    return reads - 1 - figure(/^cmdstat_ping:calls=(\d+)/m)
  })
}
