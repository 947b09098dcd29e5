import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from '@redis/client'
import type { Test } from 'tap'
import { freePort } from '../../scripts/free-port.ts'
import type { Certificates } from './certificates.ts'
import { startDaemon } from './daemon.ts'
import { patienceMs } from './patience.ts'
import { createTestFolder } from './test-folder.ts'
import { until } from './until.ts'

/** Real Redis servers, each in its own folder, without persistence. */

/** The access to a server. */
export interface RedisAccess {
  readonly tls?: Certificates
  /** The password of the user `default`. */
  readonly password?: string
}

export interface RedisServer {
  readonly port: number
  readonly url: string
  kill(): Promise<unknown>
  /** Suspends the server: it accepts connections and responds to nothing. */
  freeze(): void
  thaw(): void
  /** Sends a command as the user `default` and returns the response. */
  ask(...command: string[]): Promise<unknown>
}

interface ServerOptions extends RedisAccess {
  readonly port?: number
  /** Options of redis.conf, as on the command line. */
  readonly options?: readonly string[]
}

export async function startRedis(t: Test, server: ServerOptions = {}): Promise<RedisServer> {
  const port = server.port ?? (await freePort())
  const args = [
    ...['--save', '', '--appendonly', 'no', '--repl-diskless-sync-delay', '0'],
    ...Object.entries(accessOptions(port, server)).flatMap(([name, value]) => [`--${name}`, value]),
    ...(server.options ?? []),
  ]
  return start(t, 'redis-server', args, /Ready to accept connections/, port, server)
}

async function start(
  t: Test,
  program: string,
  args: readonly string[],
  ready: RegExp,
  port: number,
  access: RedisAccess,
): Promise<RedisServer> {
  const command = [program, ...args]
  const process = await startDaemon(t, { command, cwd: createTestFolder(t), ready })
  return {
    port,
    url: urlOf('', [`127.0.0.1:${port}`], access),
    kill: () => process.stop('SIGKILL'),
    freeze: () => process.freeze(),
    thaw: () => process.thaw(),
    ask: asker(t, port, access),
  }
}

/** Lines of redis.conf or of sentinel.conf. */
function accessOptions(port: number, { tls, password }: RedisAccess) {
  return {
    bind: '127.0.0.1',
    port: tls === undefined ? String(port) : '0',
    ...(password !== undefined && { requirepass: password, masterauth: password }),
    ...(tls && {
      'tls-port': String(port),
      'tls-auth-clients': 'no',
      'tls-replication': 'yes',
      'tls-ca-cert-file': tls.ca,
      'tls-cert-file': tls.cert,
      'tls-key-file': tls.key,
    }),
  }
}

function urlOf(kind: string, hosts: readonly string[], access: RedisAccess, path = ''): string {
  const { tls, password } = access
  const scheme = `${tls === undefined ? 'redis' : 'rediss'}${kind}`
  const userinfo = password === undefined ? '' : `:${password}@`
  const query = tls === undefined ? '' : `?ca=${encodeURIComponent(tls.ca)}`
  return `${scheme}://${userinfo}${hosts.join(',')}${path}${query}`
}

/** The library makes a class of all commands for each client. Duplicates share the class. */
const template = createClient()

/** Sends commands over one connection, and reconnects if it was lost. */
function asker(t: Test, port: number, { tls, password }: RedisAccess): RedisServer['ask'] {
  const secure = tls && ({ tls: true, ca: readFileSync(tls.ca) } as const)
  let connected: ReturnType<typeof connect> | null = null
  t.teardown(async () => (await connected?.catch(() => null))?.destroy())
  const connect = async () => {
    const client = template.duplicate({
      socket: {
        host: '127.0.0.1',
        port,
        connectTimeout: patienceMs,
        reconnectStrategy: false,
        ...secure,
      },
      ...(password !== undefined && { password }),
    })
    client.on('error', () => {
      connected = null
    })
    return client.connect()
  }
  return async (...command) => {
    connected ??= connect()
    return (await connected).sendCommand(command)
  }
}

export interface RedisCluster {
  /** The primaries, then the replicas. */
  readonly nodes: readonly RedisServer[]
  readonly url: string
  /** Removes every key. */
  empty(): Promise<void>
}

interface ClusterOptions extends RedisAccess {
  /** Replicas of each primary. */
  readonly replicas?: number
  readonly nodeTimeoutMs?: number
}

/** Starts three primaries with a third of the slots each. */
export async function startCluster(t: Test, options: ClusterOptions = {}): Promise<RedisCluster> {
  const count = 3 * (1 + (options.replicas ?? 0))
  const nodes = await Promise.all(Array.from({ length: count }, () => startNode(t, options)))
  const primaries = nodes.slice(0, 3)
  await Promise.all(nodes.map((node, n) => node.ask('CLUSTER', 'SET-CONFIG-EPOCH', `${n + 1}`)))
  for (const [node, ...range] of [
    [primaries[0], '0', '5460'],
    [primaries[1], '5461', '10922'],
    [primaries[2], '10923', '16383'],
  ] as const) {
    await node?.ask('CLUSTER', 'ADDSLOTSRANGE', ...range)
  }
  for (const node of nodes.slice(1)) await meet(node, nodes[0])
  for (const node of nodes) await untilInfo(node, 'CLUSTER', `cluster_known_nodes:${count}\r`)
  for (const [n, replica] of nodes.slice(3).entries()) {
    const id = String(await primaries[n % 3]?.ask('CLUSTER', 'MYID'))
    await replica.ask('CLUSTER', 'REPLICATE', id)
  }
  for (const node of nodes) await untilInfo(node, 'CLUSTER', 'cluster_state:ok')
  for (const replica of nodes.slice(3)) await untilInfo(replica, 'INFO', 'master_link_status:up')
  const hosts = primaries.map(({ port }) => `127.0.0.1:${port}`)
  const empty = async () => {
    await Promise.all(primaries.map((node) => node.ask('FLUSHALL')))
  }
  return { nodes, url: urlOf('+cluster', hosts, options), empty }
}

const busPorts = new Map<number, number>()

/** Starts a node without slots that no other node knows. */
export async function startNode(t: Test, options: ClusterOptions = {}): Promise<RedisServer> {
  const busPort = await freePort()
  const node = await startRedis(t, {
    ...options,
    options: [
      ...['--cluster-enabled', 'yes', '--cluster-port', String(busPort)],
      ...['--tls-cluster', options.tls === undefined ? 'no' : 'yes'],
      ...['--cluster-node-timeout', String(options.nodeTimeoutMs ?? 5_000)],
      ...['--cluster-replica-validity-factor', '0', '--cluster-allow-replica-migration', 'no'],
    ],
  })
  busPorts.set(node.port, busPort)
  return node
}

/** Adds a node to the Cluster of another node. */
export async function meet(node: RedisServer, other: RedisServer | undefined): Promise<void> {
  const address = ['127.0.0.1', String(node.port), String(busPorts.get(node.port))]
  await other?.ask('CLUSTER', 'MEET', ...address)
}

/** Waits until `INFO` or `CLUSTER INFO` contains a text. */
export function untilInfo(
  node: RedisServer,
  section: 'INFO' | 'CLUSTER',
  text: string,
): Promise<void> {
  const command = section === 'INFO' ? ['INFO'] : ['CLUSTER', 'INFO']
  return untilAnswered(text, async () => String(await node.ask(...command)).includes(text))
}

/**
 * Waits until replicas have all earlier writes of a primary. `WAIT` covers those of its own connection only,
 * so it follows a write, which needs no key: each node of a Cluster has other keys.
 */
export async function untilReplicated(primary: RedisServer, replicas: number): Promise<void> {
  await primary.ask('FUNCTION', 'FLUSH')
  const confirmed = await primary.ask('WAIT', String(replicas), String(patienceMs))
  if (confirmed !== replicas)
    throw new Error(`${confirmed} of ${replicas} replicas have the writes`)
}

/** Sets what the documentation requires, so that a fail-over loses no acknowledged change. */
export async function demandReplicas(servers: readonly RedisServer[]): Promise<void> {
  const setting = ['min-replicas-to-write', '1', 'min-replicas-max-lag', '2']
  await Promise.all(servers.map((server) => server.ask('CONFIG', 'SET', ...setting)))
}

/** Prevents replicas from following a primary, while its clients stay connected. */
export async function cutOffReplicas(primary: RedisServer): Promise<void> {
  await primary.ask('CONFIG', 'SET', 'requirepass', 'word')
  await primary.ask('CLIENT', 'KILL', 'TYPE', 'replica')
}

export interface RedisSentinels {
  readonly primary: RedisServer
  readonly replicas: readonly RedisServer[]
  readonly sentinels: readonly RedisServer[]
  readonly url: string
  /** Makes a replica the primary. The old primary learns of it about ten seconds later. */
  failOver(): Promise<unknown>
}

/** Starts a primary with two replicas, and three sentinels. */
export async function startSentinels(t: Test, access: RedisAccess = {}): Promise<RedisSentinels> {
  const primary = await startRedis(t, access)
  const options = ['--replicaof', `127.0.0.1 ${primary.port}`]
  const replicas = await Promise.all([1, 2].map(() => startRedis(t, { ...access, options })))
  await untilInfo(primary, 'INFO', 'connected_slaves:2')
  const sentinels = await Promise.all([1, 2, 3].map(() => startSentinel(t, primary, access)))
  for (const one of sentinels) await untilInfo(one, 'INFO', 'slaves=2,sentinels=3')
  const hosts = sentinels.map(({ port }) => `127.0.0.1:${port}`)
  return {
    primary,
    replicas,
    sentinels,
    url: urlOf('+sentinel', hosts, access, '/main'),
    failOver: async () => sentinels[0]?.ask('SENTINEL', 'FAILOVER', 'main'),
  }
}

async function startSentinel(
  t: Test,
  primary: RedisServer,
  access: RedisAccess,
): Promise<RedisServer> {
  const port = await freePort()
  const file = join(createTestFolder(t), 'sentinel.conf')
  const { masterauth: _, ...options } = accessOptions(port, access)
  const lines = [
    ...Object.entries(options),
    ['sentinel monitor', `main 127.0.0.1 ${primary.port} 2`],
    // Longer than a healthy server is silent on a loaded machine.
    ['sentinel down-after-milliseconds', 'main 2000'],
    ['sentinel failover-timeout', 'main 3000'],
    ...(access.password === undefined ? [] : [['sentinel auth-pass', `main ${access.password}`]]),
  ]
  writeFileSync(file, lines.map((line) => `${line.join(' ')}\n`).join(''))
  return start(t, 'redis-sentinel', [file], /\+monitor/, port, access)
}

/** Waits until a check of a server succeeds. The check may fail meanwhile, as during a fail-over. */
export function untilAnswered(what: string, check: () => Promise<boolean>): Promise<void> {
  return until(what, () => check().catch(() => false))
}
