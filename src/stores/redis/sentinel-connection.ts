import { createClient, type RedisClientOptions } from '@redis/client'
import type { ServerAddress } from '../server-url.ts'
import type { ConnectionRole, RedisConnection, RedisReply } from './connection.ts'

type Client = ReturnType<typeof newClient>

/** The library makes a class of all commands for each client, in 25 ms. Duplicates share the class. */
let template: ReturnType<typeof createClient> | undefined

export function newClient(options: RedisClientOptions) {
  template ??= createClient()
  return template.duplicate(options)
}

export interface SentinelOptions {
  /** The known sentinels. The connection adds those that it learns of. */
  readonly sentinels: ServerAddress[]
  readonly masterName: string
  /** Options of the clients of sentinels and of the primary, without an address. */
  readonly toSentinel: RedisClientOptions
  readonly toPrimary: RedisClientOptions
  readonly hasReplicatedRole: boolean
  /** Receives every error of the clients. */
  onError(error: unknown): void
  /**
   * Called when another connection is needed: this connection or its sentinel was lost, or the
   * primary changed.
   */
  onLost(): void
}

/**
 * A connection to the primary that a sentinel names, and a connection to the sentinel, which
 * announces a new primary. All roles lead to the same primary.
 */
export function sentinelConnection(options: SentinelOptions): RedisConnection {
  const { sentinels, masterName, hasReplicatedRole, onError, onLost } = options
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
      sentinel,
      primary: addressOf(await sentinel.sendCommand(['SENTINEL', 'MASTER', masterName])),
    }
  }
  /** Returns the first answer. @throws the last error if no sentinel answers */
  const askAll = async () => {
    const attempts = sentinels.map(ask)
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
      const { sentinel, primary } = await askAll()
      const others = await sentinel.sendCommand(['SENTINEL', 'SENTINELS', masterName])
      for (const other of others as unknown as RedisReply[]) addTo(sentinels, addressOf(other))
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

/** Reads the properties of a server, in which names and values alternate. */
function addressOf(properties: unknown): ServerAddress {
  const texts = (properties as readonly RedisReply[]).map(String)
  const property = (name: string) => texts[texts.indexOf(name) + 1] ?? ''
  return { host: property('ip'), port: Number(property('port')) }
}

function addTo(sentinels: ServerAddress[], one: ServerAddress): void {
  const isKnown = sentinels.some(({ host, port }) => host === one.host && port === one.port)
  if (!isKnown) sentinels.push(one)
}
