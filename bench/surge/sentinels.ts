import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../scripts/free-port.ts'
import { type Environment, startProcess } from '../harness/processes.ts'
import type { Bench } from '../harness/scenario.ts'
import { type Store, startRedis, withRedis } from '../stores.ts'

/** With `WAIT`, a change is acknowledged when a replica has it. */
const settings = { 'min-replicas-to-write': '1', 'repl-diskless-sync-delay': '0' }

/** A primary with two replicas and three sentinels, as docs/stores.md and docs/session-data.md recommend. */
export async function startSentinels(bench: Bench) {
  const servers = new Map<string, Store>()
  const start = async (name: string, more: Environment = {}) => {
    const server = await startRedis(join(bench.scratch, name), bench, { ...settings, ...more })
    const { port } = new URL(server.url)
    servers.set(port, server)
    return { ...server, port }
  }
  const primary = await start('redis-1')
  for (const name of ['redis-2', 'redis-3']) {
    await start(name, { replicaof: `127.0.0.1 ${primary.port}` })
  }
  await primary.ready(() => checkInfo(primary.port, 'connected_slaves:2'))
  const sentinels = await Promise.all(
    ['sentinel-1', 'sentinel-2', 'sentinel-3'].map((name) =>
      startSentinel(name, primary.port, bench),
    ),
  )
  for (const { port, ready } of sentinels) {
    await ready(() => checkInfo(port, 'slaves=2,sentinels=3'))
  }
  const hosts = sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')
  return {
    /** Returns a separate database. */
    redisUrl: (database: number) => `redis+sentinel://${hosts}/main/${database}`,
    pids: () => [...servers.values()].map(({ pid }) => pid),
    async failOver() {
      const command = ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'main']
      const [, port = ''] = (await ask(sentinels[0]?.port ?? '', command)) as string[]
      await servers.get(port)?.stop('SIGKILL')
      servers.delete(port)
      return `redis:${port}, the primary, killed`
    },
  }
}

async function startSentinel(name: string, primary: string, bench: Bench) {
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
  return { ...sentinel, port }
}

/** @throws unless the state of the server contains a text */
async function checkInfo(port: string, text: string): Promise<void> {
  const info = String(await ask(port, ['INFO']))
  if (!info.includes(text)) throw new Error(`The state of redis:${port} has no ${text}.`)
}

function ask(port: string, command: readonly string[]): Promise<unknown> {
  return withRedis(`redis://127.0.0.1:${port}`, (redis) => redis.sendCommand([...command]))
}
