import { createSentinel } from '@redis/client'
import { StoreAway } from './refusals.ts'

/** The Redis that all replicas of a rival share, by its sentinels, with the defaults of its client. */

const scanMs = 1_000
/** After a fail-over the last replica may still be catching up. */
const replicasMs = 500

export type RedisValue = string | number | null | readonly RedisValue[]

export interface SharedRedis {
  /** @throws StoreAway */
  send(...command: readonly string[]): Promise<RedisValue>
  /**
   * A change that a fail-over must not lose: it is on a replica when this resolves, as with
   * GATEPASS_DATA_REPLICAS=1.
   * @throws StoreAway
   */
  sendSafely(...command: readonly string[]): Promise<RedisValue>
  close(): Promise<void>
}

/** @param url `redis+sentinel://host:port,host:port/name/database` */
export async function connectRedis(url: string): Promise<SharedRedis> {
  const reads = await connect(url)
  // Whoever waits for a replica holds up what comes behind on the same connection.
  const changes = await connect(url)
  const replicas = new ReplicaWait(changes)
  let primaries = 0
  changes.on('topology-change', ({ type }) => {
    if (type === 'MASTER_CHANGE') primaries++
  })
  return {
    send: (...command) => send(reads, command),
    async sendSafely(...command) {
      const before = primaries
      const [reply, reached] = await Promise.all([send(changes, command), replicas.reached()])
      // Another primary knows nothing of what was waited for.
      if (reached < 1 || primaries !== before) throw new StoreAway('not on a replica')
      return reply
    },
    async close() {
      await Promise.all([reads.close(), changes.close()])
    },
  }
}

/**
 * One `WAIT` at a time, for all that was sent before it. One for each change would hold up those behind
 * it, and they the next, for as long as there is no replica.
 */
class ReplicaWait {
  readonly #client: Client
  #last: Promise<unknown> = Promise.resolve()
  #next: Promise<number> | null = null

  constructor(client: Client) {
    this.#client = client
  }

  /** How many replicas have what this connection has sent until now. */
  reached(): Promise<number> {
    this.#next ??= this.#last.then(() => this.#wait())
    return this.#next
  }

  #wait(): Promise<number> {
    this.#next = null
    const reply = send(this.#client, ['WAIT', '1', String(replicasMs)]).then(Number)
    this.#last = reply.catch(() => {})
    return reply
  }
}

type Client = Awaited<ReturnType<typeof connect>>

async function send(client: Client, command: readonly string[]): Promise<RedisValue> {
  try {
    return await client.sendCommand<RedisValue>(false, [...command])
  } catch (cause) {
    throw new StoreAway('Redis is away', { cause })
  }
}

async function connect(url: string) {
  const { hosts, name, database } = parse(url)
  const sentinel = createSentinel({
    name,
    sentinelRootNodes: hosts,
    nodeClientOptions: { database },
    // Without it the only connection may be waited for by two commands for ever.
    reserveClient: true,
    scanInterval: scanMs,
  })
  // Each command that fails says so itself.
  sentinel.on('error', () => {})
  await sentinel.connect()
  return sentinel
}

function parse(url: string) {
  const [, nodes = '', name = '', database = '0'] =
    /^redis\+sentinel:\/\/([^/]+)\/([^/]+)\/(\d+)$/.exec(url) ?? []
  const hosts = nodes.split(',').map((node) => {
    const [host = '', port] = node.split(':')
    return { host, port: Number(port) }
  })
  return { hosts, name, database: Number(database) }
}
