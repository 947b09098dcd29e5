import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../scripts/free-port.ts'
import { processorTime_s } from '../harness/machine.ts'
import { checkAnswer, type Server, startProcess } from '../harness/processes.ts'
import type { Bench } from '../harness/scenario.ts'
import { proxyConfig, type ReplicaAddress } from './nginx.ts'
import type { ActionName } from './script.ts'
import { startSentinels } from './sentinels.ts'
import type { Kind, SurgeOptions, System } from './system.ts'

/** All processes of a system, with the common Redis and nginx. */
export type Fleet = Awaited<ReturnType<typeof startFleet>>

/** The path at which each kind tells whether a user is signed in. */
const guardPaths = { verifier: '/verify', shop: '/preferences', issuer: null }

interface Replica {
  readonly kind: Kind
  readonly name: string
  readonly server: Server
}

export async function startFleet({ prepare }: System, options: SurgeOptions, bench: Bench) {
  const redis = await startSentinels(bench)
  const { redisUrl, pids } = redis
  const [port, innerPort] = [await freePort(), await freePort()]
  const url = `http://127.0.0.1:${port}`
  const innerUrl = `http://127.0.0.1:${innerPort}`
  const context = { options, bench, url, innerUrl, redisUrl }
  const { scheme, start, balance, rotateKeys, failOver } = await prepare(context)
  // A killed replica stays dead, and a new one replaces it.
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
    /** Returns a guarded URL at each running replica that verifies tokens, to ask it directly. */
    guards: (): readonly string[] =>
      replicas.flatMap(({ kind, server }) => {
        const path = guardPaths[kind]
        return path === null ? [] : [`${server.url}${path}`]
      }),
    /** @returns a description of the disruption; null if the system has no such part */
    async act(action: ActionName): Promise<string | null> {
      if (action === 'fail-over') return (failOver ?? redis.failOver)()
      if (action === 'rotate-keys') return (await rotateKeys?.()) ?? null
      const [verb, kind] = action.split('-') as ['kill' | 'add', Kind]
      const done = await (verb === 'kill' ? kill(kind) : add(kind))
      // nginx notices a dead replica itself.
      if (verb === 'add') reload()
      return done
    },
    /** Returns the processor time of the running processes since their start, by group. */
    processorTime_s(): Readonly<Record<string, number>> {
      const times: Record<string, number> = { nginx: processorTime_s(pid) }
      const addTime = (group: string, one: number) => {
        times[group] = (times[group] ?? 0) + processorTime_s(one)
      }
      for (const { kind, server } of replicas) addTime(kind, server.pid)
      for (const one of pids()) addTime('redis', one)
      return times
    },
  }
}

/** @returns with a function that reloads the configuration; the old worker finishes its requests */
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
