import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../scripts/free-port.ts'
import { startProcess } from '../harness/processes.ts'
import type { Bench } from '../harness/scenario.ts'
import { type Store, startRedis, withRedis } from '../stores.ts'

/** With `WAIT`, a change is acknowledged when a replica has it. */
const settings = { 'min-replicas-to-write': '1', 'repl-diskless-sync-delay': '0' }
const startTimeoutMs = 20_000

/** A primary with two replicas and three sentinels, as docs/stores.md and docs/session-data.md recommend. */
export async function startSentinels(bench: Bench) {
  const servers = new Map<string, Store>()
  const start = async (name: string, more: Readonly<Record<string, string>> = {}) => {
    const server = await startRedis(join(bench.scratch, name), bench, { ...settings, ...more })
    const { port } = new URL(server.url)
    servers.set(port, server)
    return port
  }
  const primary = await start('redis-1')
  for (const name of ['redis-2', 'redis-3']) {
    await start(name, { replicaof: `127.0.0.1 ${primary}` })
  }
  await untilInfo(primary, 'connected_slaves:2')
  const sentinels: string[] = []
  for (const n of [1, 2, 3]) sentinels.push(await startSentinel(`sentinel-${n}`, primary, bench))
  for (const port of sentinels) await untilInfo(port, 'slaves=2,sentinels=3')
  const hosts = sentinels.map((port) => `127.0.0.1:${port}`).join(',')
  return {
    /** Returns a separate database. */
    redisUrl: (database: number) => `redis+sentinel://${hosts}/main/${database}`,
    pids: () => [...servers.values()].map(({ pid }) => pid),
    async failOver() {
      const question = ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'main']
      const [, port = ''] = (await ask(sentinels[0] ?? '', question)) as string[]
      await servers.get(port)?.stop('SIGKILL')
      servers.delete(port)
      return `redis:${port}, the primary, killed`
    },
  }
}

async function startSentinel(name: string, primary: string, bench: Bench): Promise<string> {
  const cwd = join(bench.scratch, name)
  mkdirSync(cwd)
  const port = String(await freePort())
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `sentinel monitor main 127.0.0.1 ${primary} 2`,
    'sentinel down-after-milliseconds main 500',
    'sentinel failover-timeout main 3000',
  ]
  writeFileSync(join(cwd, 'sentinel.conf'), `${lines.join('\n')}\n`)
  const command = ['redis-sentinel', 'sentinel.conf']
  const sentinel = startProcess({ name, command, core: 'load', cwd }, bench)
  await sentinel.ready(() => ask(port, ['PING']))
  return port
}

async function untilInfo(port: string, text: string): Promise<void> {
  const deadlineMs = performance.now() + startTimeoutMs
  while (performance.now() < deadlineMs) {
    if (String(await ask(port, ['INFO'])).includes(text)) return
    await sleep(50)
  }
  throw new Error(`redis:${port} does not say ${text}`)
}

function ask(port: string, command: readonly string[]): Promise<unknown> {
  return withRedis(`redis://127.0.0.1:${port}`, (redis) => redis.sendCommand([...command]))
}
