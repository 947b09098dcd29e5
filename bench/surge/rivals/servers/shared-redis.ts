import { createSentinel } from '@redis/client'
import { StoreAway } from './refusals.ts'

/** The Redis that all replicas of a rival share, by its sentinels, with the defaults of its client. */

const scanMs = 1_000
const replicasMs = 1_000

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
  let primaries = 0
  changes.on('topology-change', ({ type }) => {
    if (type === 'MASTER_CHANGE') primaries++
  })
  return {
    send: (...command) => send(reads, command),
    async sendSafely(...command) {
      const before = primaries
      const [reply, reached] = await Promise.all([
        send(changes, command),
        send(changes, ['WAIT', '1', String(replicasMs)]),
      ])
      // Another primary knows nothing of what was waited for.
      if (Number(reached) < 1 || primaries !== before) throw new StoreAway('not on a replica')
      return reply
    },
    async close() {
      await Promise.all([reads.close(), changes.close()])
    },
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
