import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from '@redis/client'
import { freePort } from '../../../../scripts/free-port.ts'
import type { Bench } from '../../harness/scenario.ts'
import { startDaemon } from '../../stores/daemon.ts'
import { withRedis } from '../../stores/redis.ts'

/**
 * As docs/stores.md and docs/session-data.md have it: each write in the append-only file, and none
 * acknowledged to whoever asks for that (`WAIT`) that is not on a replica.
 */
const settings = {
  appendonly: 'yes',
  appendfsync: 'everysec',
  'maxmemory-policy': 'noeviction',
  save: '',
  'min-replicas-to-write': '1',
  'repl-diskless-sync-delay': '0',
}

/** How sure sentinels must be, and how soon they are. */
const quorum = 2
const downAfterMs = 500
const startMsMax = 20_000

export interface RedisSentinels {
  /** For a database of its own: each issuer, and session data, has one. */
  urlOf(database: number): string
  /** Kills the primary. @returns which one it was */
  failOver(): Promise<string>
}

/** A primary with two replicas, and three sentinels. */
export async function startRedisSentinels(bench: Bench): Promise<RedisSentinels> {
  const ports: number[] = []
  for (let n = 0; n < 6; n++) ports.push(await freePort())
  const [primary = 0, ...rest] = ports
  const servers = [primary, ...rest.slice(0, 2)]
  const pids = new Map([[primary, await startServer(bench, primary)]])
  for (const port of servers.slice(1)) {
    pids.set(port, await startServer(bench, port, { replicaof: `127.0.0.1 ${primary}` }))
  }
  await untilInfo(primary, 'connected_slaves:2')
  const sentinels = rest.slice(2)
  for (const port of sentinels) await startSentinel(bench, port, primary)
  for (const port of sentinels) await untilInfo(port, 'slaves=2,sentinels=3')
  const hosts = sentinels.map((port) => `127.0.0.1:${port}`).join(',')
  return {
    urlOf: (database) => `redis+sentinel://${hosts}/main/${database}`,
    failOver: async () => {
      const port = await primaryOf(sentinels[0] ?? 0)
      process.kill(pids.get(port) ?? Number.NaN, 'SIGKILL')
      return `redis:${port}, the primary`
    },
  }
}

async function startServer(bench: Bench, port: number, more: Record<string, string> = {}) {
  const cwd = join(bench.scratch, `redis-${port}`)
  mkdirSync(cwd)
  const options = { ...settings, port: String(port), bind: '127.0.0.1', ...more }
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])
  return startDaemon(
    {
      command: ['redis-server', ...args],
      cwd,
      stopSignal: 'SIGKILL',
      isReady: () => withRedis(urlTo(port), (redis) => redis.ping()),
    },
    bench,
  )
}

async function startSentinel(bench: Bench, port: number, primary: number): Promise<void> {
  const cwd = join(bench.scratch, `sentinel-${port}`)
  mkdirSync(cwd)
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `sentinel monitor main 127.0.0.1 ${primary} ${quorum}`,
    `sentinel down-after-milliseconds main ${downAfterMs}`,
    'sentinel failover-timeout main 3000',
  ]
  writeFileSync(join(cwd, 'sentinel.conf'), `${lines.join('\n')}\n`)
  await startDaemon(
    {
      command: ['redis-sentinel', 'sentinel.conf'],
      cwd,
      stopSignal: 'SIGKILL',
      isReady: () => ask(port, ['PING']),
    },
    bench,
  )
}

async function primaryOf(sentinel: number): Promise<number> {
  const [, port] = (await ask(sentinel, [
    'SENTINEL',
    'GET-MASTER-ADDR-BY-NAME',
    'main',
  ])) as string[]
  return Number(port)
}

/** Asks for `INFO` until it says so. */
async function untilInfo(port: number, text: string): Promise<void> {
  const deadlineMs = performance.now() + startMsMax
  while (performance.now() < deadlineMs) {
    if (String(await ask(port, ['INFO'])).includes(text)) return
    await sleep(50)
  }
  throw new Error(`redis:${port} does not say ${text}`)
}

/** Of a sentinel too, which knows few commands: none is sent but this one. */
async function ask(port: number, command: readonly string[]): Promise<unknown> {
  const client = createClient({
    socket: { port, host: '127.0.0.1', reconnectStrategy: false },
    disableClientInfo: true,
  })
  client.on('error', () => {})
  await client.connect()
  try {
    return await client.sendCommand([...command])
  } finally {
    client.destroy()
  }
}

const urlTo = (port: number) => `redis://127.0.0.1:${port}`
