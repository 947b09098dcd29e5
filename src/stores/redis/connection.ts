import {
  createClient,
  createCluster,
  createSentinel,
  RESP_TYPES,
  type RedisClientOptions,
} from '@redis/client'
import type { TlsFiles } from '../server-url.ts'
import { type RedisCredentials, type RedisTarget, urlParser } from './url.ts'

/** What a command answers, text as bytes. */
export type RedisReply = null | number | Buffer | readonly RedisReply[]
export type RedisArguments = readonly (string | Buffer)[]

/**
 * Which of the connections to one server a command takes. What waits for replicas (`WAIT`) keeps all
 * behind it waiting, and so has one of its own where there are two.
 */
export type Lane = 0 | 1

/** Where a command goes: to whoever has a key, or to one of the primaries. */
export type Route = string | { readonly primary: string }

/**
 * A server, a Cluster or the primary that the sentinels name, all alike. Its lanes never lead to two
 * primaries: what is read is what was acknowledged.
 */
export interface RedisConnection {
  /** Resolves when commands can be sent. May try for ever: `destroy` ends that. */
  connect(): Promise<unknown>
  /** The primaries that share the keys, by a name for `send`. A Cluster may change them at any time. */
  primaries(): readonly string[]
  /**
   * Sends one command. An aborted signal takes it back if it was not written to the wire; a written
   * one the client waits for however long it takes.
   */
  send(route: Route, command: RedisArguments, signal: AbortSignal, lane: Lane): Promise<RedisReply>
  /** Waits for what is under way, and closes. */
  close(): Promise<unknown>
  /** Closes at once; what is under way is rejected. */
  destroy(): void
}

export interface ConnectionLimits {
  /** How long anything may stay silent: a connection attempt, a handshake, a server. */
  readonly silenceMs: number
  /** How many commands may wait for one server. */
  readonly queueMax: number
  readonly lanes: 1 | 2
}

const reconnectMinMs = 50
const reconnectMaxMs = 500

/** Grows with each attempt, up to half a second, and differs by half from replica to replica. */
export function reconnectDelayMs(attempt: number): number {
  const delayMs = Math.min(reconnectMaxMs, reconnectMinMs * 2 ** Math.min(attempt, 10))
  return delayMs * (0.5 + Math.random() / 2)
}

/** Makes a connection that is not connected yet; hears of each error that the client meets. */
export type ConnectionMaker = (onError: (error: unknown) => void) => RedisConnection

/** @throws `config_invalid` when a file can't be read */
export function connectionMaker(
  target: RedisTarget,
  cwd: string,
  limits: ConnectionLimits,
): ConnectionMaker {
  const options = clientOptions(target, tlsOptions(target.tls, cwd), limits)
  const { lanes } = limits
  switch (target.topology) {
    case 'single':
      return (onError) => inLanes(lanes, () => serverConnection(target, options, onError))
    case 'cluster':
      return (onError) => inLanes(lanes, () => clusterConnection(target, options, onError))
    case 'sentinel':
      return (onError) => sentinelConnection(target, options, lanes, onError)
  }
}

/** A connection for each lane. Made one by one, they lead to the same servers all the same. */
function inLanes(lanes: number, make: () => RedisConnection): RedisConnection {
  const first = make()
  if (lanes === 1) return first
  const all = [first, make()] as const
  return {
    connect: () => Promise.all(all.map((one) => one.connect())),
    primaries: () => first.primaries(),
    send: (route, command, signal, lane) => all[lane].send(route, command, signal, lane),
    close: () => Promise.all(all.map((one) => one.close())),
    destroy: () => {
      for (const one of all) one.destroy()
    },
  }
}

// Replies are bytes, as a row is. The client's own timeout ends only what it could not write yet and
// costs a signal for each command: the deadline is ours (link.ts).
const commandOptions = {
  timeout: 0,
  typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer, [RESP_TYPES.MAP]: Array },
}

type Options = ReturnType<typeof clientOptions>

/** What every client is given, whoever makes it. */
function clientOptions(
  { credentials }: RedisTarget,
  tls: ReturnType<typeof tlsOptions>,
  { silenceMs, queueMax }: ConnectionLimits,
) {
  return {
    ...credentialsOptions(credentials),
    name: 'gatepass',
    // Each would need one more command to be allowed, and tells us nothing.
    disableClientInfo: true,
    maintNotifications: 'disabled',
    commandsQueueMaxLength: queueMax,
    // A ping that is not answered makes an idle connection time out; so does a silent handshake.
    pingInterval: silenceMs,
    socket: {
      ...tls,
      connectTimeout: silenceMs,
      socketTimeout: 2 * silenceMs,
      reconnectStrategy: reconnectDelayMs,
    },
  } as const satisfies RedisClientOptions
}

function credentialsOptions({ username, password }: RedisCredentials) {
  return { ...(username !== '' && { username }), ...(password !== '' && { password }) }
}

function tlsOptions(files: TlsFiles | null, cwd: string) {
  if (files === null) return { tls: false } as const
  // Said here, so that no environment variable turns it off.
  return { tls: true, rejectUnauthorized: true, ...urlParser.readTlsFiles(files, cwd) } as const
}

/** Where there is one primary, whatever its address. */
const onlyPrimary = ['the primary']

function serverConnection(
  target: RedisTarget & { topology: 'single' },
  options: Options,
  onError: (error: unknown) => void,
): RedisConnection {
  const [node] = target.nodes
  const client = createClient({
    ...options,
    commandOptions,
    database: target.database,
    socket: { ...options.socket, ...node },
  })
  client.on('error', onError)
  return {
    connect: () => client.connect(),
    primaries: () => onlyPrimary,
    send: (_route, command, abortSignal) => client.sendCommand(command, { abortSignal }),
    close: () => client.close(),
    destroy: () => client.destroy(),
  }
}

/** How long a node may be away before the others are asked who serves its slots. */
const topologyRefreshMs = 200

function clusterConnection(
  target: RedisTarget & { topology: 'cluster' },
  options: Options,
  onError: (error: unknown) => void,
): RedisConnection {
  const cluster = createCluster({
    commandOptions,
    rootNodes: target.nodes.map((node) => ({ socket: { ...options.socket, ...node } })),
    defaults: options,
    // Otherwise one node that is down keeps the client from learning about all the others.
    minimizeConnections: true,
    topologyRefreshOnReconnectionAttemptStrategy: topologyRefreshMs,
  })
  cluster.on('error', onError)
  cluster.on('node-error', onError)
  return {
    connect: () => cluster.connect(),
    primaries: () => cluster.masters.map(({ address }) => address),
    send: async (route, command, abortSignal) => {
      if (typeof route === 'string') {
        return cluster.sendCommand(route, false, [...command], { abortSignal })
      }
      const node = cluster.nodeByAddress.get(route.primary)
      if (node === undefined) throw new Error(`Cannot find node ${route.primary}`)
      const client = await cluster.nodeClient(node)
      return client.sendCommand(command, { ...commandOptions, abortSignal })
    },
    close: () => cluster.close(),
    destroy: () => cluster.destroy(),
  }
}

function sentinelConnection(
  target: RedisTarget & { topology: 'sentinel' },
  options: Options,
  lanes: number,
  onError: (error: unknown) => void,
): RedisConnection {
  const { username: _, password: __, ...anonymous } = options
  const sentinel = createSentinel({
    commandOptions,
    name: target.masterName,
    sentinelRootNodes: [...target.nodes],
    nodeClientOptions: { ...options, database: target.database },
    sentinelClientOptions: { ...anonymous, ...credentialsOptions(target.sentinelCredentials) },
    // It would send a command again whose answer was lost, which is for us to decide.
    maxCommandRediscovers: 0,
    // Without it two commands at once may both wait for the one connection, for ever.
    reserveClient: true,
    // Two clients could be told of two primaries while the sentinels tell one another.
    masterPoolSize: lanes,
    passthroughClientErrorEvents: true,
  })
  sentinel.on('error', onError)
  let second: Pick<typeof sentinel, 'sendCommand'> = sentinel
  return {
    connect: async () => {
      await sentinel.connect()
      if (lanes === 2) second = await sentinel.acquire()
      sentinel.on('topology-change', ({ type }) => {
        if (type === 'MASTER_CHANGE') onError(new Error('Another server is the primary now.'))
      })
    },
    primaries: () => onlyPrimary,
    send: (_route, command, abortSignal, lane) => {
      const client = lane === 0 ? sentinel : second
      return client.sendCommand(false, [...command], { abortSignal })
    },
    close: () => sentinel.close(),
    destroy: () => void sentinel.destroy().catch(onError),
  }
}
