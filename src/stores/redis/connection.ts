import {
  ClientClosedError,
  ClientOfflineError,
  createClient,
  createCluster,
  DisconnectsClientError,
  ErrorReply,
  RESP_TYPES,
  type RedisClientOptions,
} from '@redis/client'
import { backoffMs } from '../../core/backoff.ts'
import { reasonOf } from '../../core/error-text.ts'
import type { GatepassError } from '../../core/errors.ts'
import type { ServerAddress, TlsFiles } from '../server-url.ts'
import { storeUnavailable, tlsFailure } from '../store-errors.ts'
import { type RedisCredentials, type RedisTarget, urlParser } from './url.ts'

/** A reply. Texts are bytes. */
export type RedisReply = null | number | Buffer | readonly RedisReply[]
export type RedisArguments = readonly (string | Buffer)[]

/**
 * Which of the connections to a server a command uses. `WAIT` blocks all commands behind it, so changes
 * that replicas confirm have a connection of their own.
 */
export type ConnectionRole = 'main' | 'replicated'

/** The target of a command: the server of a key, or one of the primaries. */
export type Route = string | { readonly primary: string }

/**
 * Connections to a server, a Cluster, or the primary of the sentinels. All roles lead to the same
 * primary, so that reads see acknowledged writes.
 */
export interface RedisConnection {
  /** Resolves when commands can be sent. May retry forever, until `destroy`. */
  connect(): Promise<unknown>
  /** Returns the names of the primaries that share the keys. A Cluster may change them at any time. */
  primaries(): readonly string[]
  /**
   * Sends a command. An aborted signal withdraws a command that was not written
   * yet; the reply to a written command may never arrive.
   */
  send(
    route: Route,
    command: RedisArguments,
    signal: AbortSignal,
    role: ConnectionRole,
  ): Promise<RedisReply>
  /** Waits for the commands in progress and closes. */
  close(): Promise<unknown>
  /** Closes immediately and rejects the commands in progress. */
  destroy(): void
}

export interface ConnectionOptions {
  /** Longest silence of a connection attempt, a handshake or a server. */
  readonly maxSilenceMs: number
  /** Whether there is a connection for changes that replicas confirm. */
  readonly hasReplicatedRole: boolean
}

/** Calls in progress, and commands that may wait for one server. */
export const maxCalls = 10_000

/** Delay between attempts to connect. */
export const reconnectDelay = { minMs: 50, maxMs: 500 }

export interface ConnectionListener {
  /** Receives every error of the client. */
  onError(error: unknown): void
  /**
   * Called when another connection is needed: this one or its sentinel was lost, or the primary changed.
   * Connections without sentinels reconnect by themselves.
   */
  onLost(): void
}

/** Creates a connection that is not connected. */
export type ConnectionFactory = (listener: ConnectionListener) => RedisConnection

/** @throws `config_invalid` if a file cannot be read */
export function createConnectionFactory(
  target: RedisTarget,
  cwd: string,
  options: ConnectionOptions,
): ConnectionFactory {
  const common = clientOptions(target, tlsOptions(target.tls, cwd), options)
  const { hasReplicatedRole } = options
  switch (target.topology) {
    case 'single':
      return ({ onError }) =>
        withRoles(hasReplicatedRole, () => serverConnection(target, common, onError))
    case 'cluster':
      return ({ onError }) =>
        withRoles(hasReplicatedRole, () => clusterConnection(target, common, onError))
    case 'sentinel': {
      const { username: _, password: __, ...anonymous } = common
      const fixed = {
        sentinels: target.nodes,
        group: [],
        masterName: target.masterName,
        toSentinel: {
          ...anonymous,
          ...credentialsOptions(target.sentinelCredentials),
          commandOptions,
        },
        toPrimary: { ...common, commandOptions, database: target.database },
        hasReplicatedRole,
      }
      return (listener) => sentinelConnection({ ...fixed, ...listener })
    }
  }
}

/** Creates a connection per role. Connections to fixed servers lead to the same primaries. */
function withRoles(hasReplicatedRole: boolean, create: () => RedisConnection): RedisConnection {
  const main = create()
  if (!hasReplicatedRole) return main
  const byRole = { main, replicated: create() }
  const all = Object.values(byRole)
  return {
    connect: () => Promise.all(all.map((one) => one.connect())),
    primaries: () => main.primaries(),
    send: (route, command, signal, role) => byRole[role].send(route, command, signal, role),
    close: () => Promise.all(all.map((one) => one.close())),
    destroy: () => {
      for (const one of all) one.destroy()
    },
  }
}

// Replies are bytes, because a session row is binary. The library's timeout ends unwritten commands
// only and costs a signal per command, so the deadline is ours (client.ts).
const commandOptions = {
  timeout: 0,
  typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer, [RESP_TYPES.MAP]: Array },
}

type CommonOptions = ReturnType<typeof clientOptions>

function clientOptions(
  { credentials }: RedisTarget,
  tls: ReturnType<typeof tlsOptions>,
  { maxSilenceMs }: ConnectionOptions,
) {
  return {
    ...credentialsOptions(credentials),
    name: 'gatepass',
    // Each option would require permission for one more command, and none is needed.
    disableClientInfo: true,
    maintNotifications: 'disabled',
    commandsQueueMaxLength: maxCalls,
    // An idle connection times out when a ping gets no reply, and so does a silent handshake.
    pingInterval: maxSilenceMs,
    socket: {
      ...tls,
      connectTimeout: maxSilenceMs,
      socketTimeout: 2 * maxSilenceMs,
      reconnectStrategy: (attempt: number) => backoffMs(attempt, reconnectDelay),
    },
  } as const satisfies RedisClientOptions
}

function credentialsOptions({ username, password }: RedisCredentials) {
  return { ...(username !== '' && { username }), ...(password !== '' && { password }) }
}

function tlsOptions(files: TlsFiles | null, cwd: string) {
  if (files === null) return { tls: false } as const
  return { tls: true, ...urlParser.readTlsFiles(files, cwd) } as const
}

type Client = ReturnType<typeof newClient>

/** The library makes a class of all commands for each client, in 25 ms. Duplicates share the class. */
let template: ReturnType<typeof createClient> | undefined

function newClient(options: RedisClientOptions) {
  template ??= createClient()
  return template.duplicate(options)
}

/** The name of the primary where there is only one. */
const onlyPrimary = ['the primary']

function serverConnection(
  target: RedisTarget & { topology: 'single' },
  options: CommonOptions,
  onError: (error: unknown) => void,
): RedisConnection {
  const [node] = target.nodes
  const client = newClient({
    ...options,
    commandOptions,
    database: target.database,
    socket: { ...options.socket, ...node },
  })
  client.on('error', onError)
  let isDestroyed = false
  return {
    async connect() {
      await client.connect()
      // A client that is destroyed while its socket opens becomes ready nevertheless.
      if (isDestroyed) client.destroy()
    },
    primaries: () => onlyPrimary,
    send: (_route, command, abortSignal) => client.sendCommand(command, { abortSignal }),
    close: () => client.close(),
    destroy() {
      isDestroyed = true
      client.destroy()
    },
  }
}

/**
 * Commands without a key. The library sends `WAIT` to all primaries, and `TIME` to any of them, whatever key
 * it is given.
 */
const keylessCommands: readonly unknown[] = ['WAIT', 'TIME']

/** How long a node may be unavailable before the client asks others who serves its slots. */
const topologyRefreshMs = 200

function clusterConnection(
  target: RedisTarget & { topology: 'cluster' },
  options: CommonOptions,
  onError: (error: unknown) => void,
): RedisConnection {
  const cluster = createCluster({
    commandOptions,
    rootNodes: target.nodes.map((node) => ({ socket: { ...options.socket, ...node } })),
    defaults: options,
    // Otherwise a node that is down keeps the client from learning about the other nodes.
    minimizeConnections: true,
    topologyRefreshOnReconnectionAttemptStrategy: topologyRefreshMs,
  })
  cluster.on('error', onError)
  cluster.on('node-error', onError)
  return {
    async connect() {
      await cluster.connect()
      // The library has asked a node that does not belong to the Cluster, such as a replaced machine.
      if (cluster.masters.length === 0) throw new Error('The node knows no slots of the Cluster.')
    },
    primaries: () => cluster.masters.map(({ address }) => address),
    send: async (route, command, abortSignal) => {
      if (typeof route === 'string') {
        if (!keylessCommands.includes(command[0]))
          return cluster.sendCommand(route, false, [...command], { abortSignal })
        // A pipeline has one server, that of its first key.
        const pipeline = cluster.multi().addCommand(route, false, [...command])
        const [reply] = (await pipeline.execAsPipeline()) as unknown as [RedisReply]
        return reply
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

interface SentinelOptions extends ConnectionListener {
  /** The sentinels of the URL. */
  readonly sentinels: readonly ServerAddress[]
  /**
   * The sentinel that answered last, and those that it named. Each answer replaces them: another group may
   * get the address of a former sentinel, and call its primary by the same name.
   */
  readonly group: ServerAddress[]
  readonly masterName: string
  /** Options of the clients of sentinels and of the primary, without an address. */
  readonly toSentinel: RedisClientOptions
  readonly toPrimary: RedisClientOptions
  readonly hasReplicatedRole: boolean
}

/**
 * A connection to the primary that a sentinel names, and a connection to the sentinel, which
 * announces a new primary. All roles lead to the same primary.
 */
function sentinelConnection(options: SentinelOptions): RedisConnection {
  const { sentinels, group, masterName, hasReplicatedRole, onError, onLost } = options
  const clients = new Set<Client>()
  /** Clients whose loss is the loss of the connection. */
  const used = new Set<Client>()
  const byRole: Partial<Record<ConnectionRole, Client>> = {}
  let state: 'connecting' | 'connected' | 'lost' | 'closed' = 'connecting'

  const lose = (client: Client, error: unknown) => {
    onError(error)
    if (!used.has(client) || state === 'closed') return
    const wasConnected = state === 'connected'
    state = 'lost'
    if (wasConnected) onLost()
  }
  const release = (client: Client) => {
    clients.delete(client)
    client.destroy()
  }
  const destroyAll = () => {
    state = 'closed'
    clients.forEach(release)
  }
  const open = async (base: RedisClientOptions, address: ServerAddress): Promise<Client> => {
    const socket = { ...base.socket, ...address, reconnectStrategy: false }
    const client = newClient({ ...base, socket } as RedisClientOptions)
    clients.add(client)
    client.on('error', (error) => lose(client, error))
    await client.connect()
    // A client that is destroyed while its socket opens becomes ready nevertheless.
    if (state === 'closed') {
      release(client)
      throw new Error('The connection was closed.')
    }
    return client
  }
  /** Watches a sentinel before it asks for the primary, so that no change is missed. */
  const ask = async (address: ServerAddress) => {
    const sentinel = await open(options.toSentinel, address)
    await sentinel.pSubscribe('+switch-master', (message) => {
      if (message.startsWith(`${masterName} `)) {
        lose(sentinel, new Error('Another server has become the primary.'))
      }
    })
    return {
      address,
      sentinel,
      primary: addressOf(await sentinel.sendCommand(['SENTINEL', 'MASTER', masterName])),
    }
  }
  /** Returns the first answer. @throws the last error if no sentinel answers */
  const askAll = async () => {
    const attempts = distinct([...sentinels, ...group]).map(ask)
    const first = await Promise.any(attempts).catch(({ errors }: AggregateError) => {
      throw errors.at(-1)
    })
    for (const attempt of attempts) {
      attempt
        .then(({ sentinel }) => sentinel !== first.sentinel && release(sentinel))
        .catch(() => {})
    }
    used.add(first.sentinel)
    return first
  }

  return {
    async connect() {
      const { address, sentinel, primary } = await askAll()
      const others = await sentinel.sendCommand(['SENTINEL', 'SENTINELS', masterName])
      group.splice(0, group.length, address, ...(others as unknown as RedisReply[]).map(addressOf))
      const roles: ConnectionRole[] = hasReplicatedRole ? ['main', 'replicated'] : ['main']
      await Promise.all(
        roles.map(async (role) => {
          const client = await open(options.toPrimary, primary)
          used.add(client)
          byRole[role] = client
        }),
      )
      if (state === 'lost' || [...used].some(({ isReady }) => !isReady)) {
        throw new Error('The primary was lost.')
      }
      state = 'connected'
    },
    primaries: () => [masterName],
    async send(_route, command, abortSignal, role) {
      const client = byRole[role]
      if (client === undefined) throw new Error('There is no connection.')
      return client.sendCommand(command, { abortSignal })
    },
    async close() {
      await Promise.all(Object.values(byRole).map((client) => client.close()))
      destroyAll()
    },
    destroy: destroyAll,
  }
}

/** Reads the address of a server from its properties at a sentinel. */
function addressOf(reply: unknown): ServerAddress {
  const { ip = '', port } = propertiesOf(reply)
  return { host: ip, port: Number(port) }
}

/** Reads a reply in which names and values alternate. */
export function propertiesOf(reply: unknown): Readonly<Record<string, string>> {
  const texts = (reply as readonly RedisReply[]).map(String)
  const properties: Record<string, string> = {}
  for (let n = 0; n + 1 < texts.length; n += 2) properties[texts[n] ?? ''] = texts[n + 1] ?? ''
  return properties
}

function distinct(addresses: readonly ServerAddress[]): ServerAddress[] {
  return [...new Map(addresses.map((one) => [`${one.host} ${one.port}`, one])).values()]
}

/** Error replies of a server that did not run the command and may run it in a moment. */
const temporary = /^(TRYAGAIN|CLUSTERDOWN|LOADING|MASTERDOWN|NOREPLICAS|READONLY|BUSY|MOVED|ASK) /

/**
 * Whether the server replied with an error. Otherwise the command may have run.
 * @param code which error, such as `READONLY`; '' for any
 */
export function isErrorReply(error: unknown, code = ''): error is Error {
  return error instanceof ErrorReply && error.message.startsWith(code)
}

/** Whether our own `destroy` ended the command: a consequence of a failure, never its cause. */
export function isOfDestroy(error: unknown): boolean {
  return error instanceof DisconnectsClientError
}

/** Whether the command has certainly not run and may succeed after a short pause. */
export function isTemporary(error: unknown): boolean {
  if (isErrorReply(error)) return temporary.test(error.message)
  if (error instanceof ClientClosedError || error instanceof ClientOfflineError) return true
  // A slot moves to a node without slots, which the client does not know yet.
  return error instanceof Error && error.message.startsWith('Cannot find node')
}

export function unavailable(cause: unknown, detail?: string): GatepassError {
  return storeUnavailable(isErrorReply(cause) ? withoutArguments(cause) : cause, detail)
}

/**
 * Copies message and code of an error. Redis quotes the arguments of an unknown command, and those of
 * HELLO, unknown to an old Redis, contain the password.
 */
export function withoutArguments(error: unknown): Error {
  const original: NodeJS.ErrnoException = error instanceof Error ? error : new Error(`${error}`)
  const { code } = original
  const copy = new Error(reasonOf(original).replace(/,? with args beginning with.*/s, ''))
  return code === undefined ? copy : Object.assign(copy, { code })
}

/** Earlier versions lack commands, and would fail at the first login. */
const minVersion = 7

/** The server is too old, or the URL is for another kind of server. The message is for the operator. */
class UnsuitableServerError extends Error {}

/**
 * @param hello the reply to HELLO
 * @throws an error with a `fatalReason` if the server is too old or does not fit the URL
 */
export function checkServer(hello: RedisReply, { topology }: RedisTarget): void {
  const { version = '', mode = '' } = propertiesOf(hello)
  if (Number.parseInt(version, 10) < minVersion) {
    const problem = `Redis ${minVersion} or later is required, and this is ${version}.`
    throw new UnsuitableServerError(problem)
  }
  // A node of a Cluster redirects most commands, and a sentinel knows none of them.
  if (topology === 'single' && /^(cluster|sentinel)$/.test(mode)) {
    const problem = `The server is a Redis in the mode ${mode}: use a URL with redis+${mode} or rediss+${mode}.`
    throw new UnsuitableServerError(problem)
  }
}

/** Returns why a retry cannot succeed, or null if it might. */
export function fatalReason(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  if (error instanceof UnsuitableServerError) return error.message
  if (/\b(WRONGPASS|NOAUTH|NOPERM)\b|AUTH.* without any password/.test(error.message)) {
    return 'Redis refuses the user name or the password, or allows the user too little.'
  }
  return tlsFailure('Redis', error)
}
