import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../scripts/free-port.ts'
import { processorTime_s } from '../harness/machine.ts'
import { checkAnswer, type Server, startProcess } from '../harness/processes.ts'
import type { Bench } from '../harness/scenario.ts'
import { proxyConfig, type ReplicaAddress } from './nginx.ts'
import type { Disruption } from './script.ts'
import { startSentinels } from './sentinels.ts'
import type { Kind, SurgeOptions, System } from './system.ts'

/** All processes of a system: its replicas, Redis with sentinels, and nginx. */
export type Fleet = Awaited<ReturnType<typeof startFleet>>

/** A path of each kind that refuses users who are not signed in. */
const guardPaths = { verifier: '/verify', shop: '/preferences', issuer: null }

interface Replica {
  readonly kind: Kind
  readonly name: string
  readonly server: Server
}

export async function startFleet({ prepare }: System, options: SurgeOptions, bench: Bench) {
  const redis = await startSentinels(bench)
  const [port, innerPort] = [await freePort(), await freePort()]
  const url = `http://127.0.0.1:${port}`
  const innerUrl = `http://127.0.0.1:${innerPort}`
  const context = { options, bench, url, innerUrl, redisUrl: redis.redisUrl }
  const { scheme, start, balance, rotateKeys, failOver } = await prepare(context)
  /** The running replicas, oldest first. */
  let replicas: readonly Replica[] = []
  let count = 0
  const add = async (kind: Kind) => {
    const name = `${kind}-${++count}`
    const server = await start[kind]?.(name)
    if (server === undefined) return null
    replicas = [...replicas, { kind, name, server }]
    return `${name} added`
  }
  const kill = async (kind: Kind) => {
    const oldest = replicas.find((one) => one.kind === kind)
    if (oldest === undefined) return null
    replicas = replicas.filter((one) => one !== oldest)
    // SIGKILL: the process cannot react.
    await oldest.server.stop('SIGKILL')
    return `${oldest.name} killed`
  }
  const addressesOf = (kind: Kind): ReplicaAddress[] =>
    replicas
      .filter((one) => one.kind === kind)
      .map(({ name, server }) => ({ name, address: new URL(server.url).host }))
  const configure = () => proxyConfig({ port, innerPort, balance, addressesOf })
  const { reload, ready, pid } = await startNginx(url, configure, bench)
  for (const kind of Object.keys(start) as Kind[]) {
    for (let n = 0; n < options.replicas[kind]; n++) await add(kind)
    reload()
  }
  await ready(() => checkAnswer(`${url}/products`))
  return {
    url,
    scheme,
    /** Returns a guarded URL of each running replica that has one, past nginx. */
    guards: (): readonly string[] =>
      replicas.flatMap(({ kind, server }) => {
        const path = guardPaths[kind]
        return path === null ? [] : [`${server.url}${path}`]
      }),
    /** @returns a description of the disruption; null if the system has no such part */
    async disrupt(disruption: Disruption): Promise<string | null> {
      if (disruption === 'fail-over') return (failOver ?? redis.failOver)()
      if (disruption === 'rotate-keys') return (await rotateKeys?.()) ?? null
      const [verb, kind] = disruption.split('-') as ['kill' | 'add', Kind]
      if (verb === 'kill') return kill(kind)
      const description = await add(kind)
      // nginx detects a dead replica itself, but not a new one.
      reload()
      return description
    },
    /** Returns the processor time of the running processes since their start, by group. */
    processorTime_s(): Readonly<Record<string, number>> {
      const times: Record<string, number> = { nginx: processorTime_s(pid) }
      const ofKinds = replicas.map(({ kind, server }) => [kind, server.pid] as const)
      const ofRedis = redis.pids().map((one) => ['redis', one] as const)
      for (const [group, one] of [...ofKinds, ...ofRedis]) {
        times[group] = (times[group] ?? 0) + processorTime_s(one)
      }
      return times
    },
  }
}

/** Starts nginx. `reload` writes and loads a new configuration; the old worker finishes its requests. */
async function startNginx(url: string, config: () => string, bench: Bench) {
  const cwd = join(bench.scratch, 'nginx')
  mkdirSync(cwd)
  const file = join(cwd, 'nginx.conf')
  writeFileSync(file, config())
  const command = ['nginx', '-p', cwd, '-e', 'stderr', '-c', file]
  const nginx = startProcess(
    { name: 'nginx', command, core: 'server', cwd, isQuiet: true, stopSignal: 'SIGTERM' },
    bench,
  )
  await nginx.ready(async () => (await fetch(url)).arrayBuffer())
  const reload = () => {
    writeFileSync(file, config())
    process.kill(nginx.pid, 'SIGHUP')
  }
  return { ...nginx, reload }
}
