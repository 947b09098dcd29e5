import { createSentinel } from '@redis/client'
import { z } from 'zod'
import { verifyPassword } from '../../passwords.ts'

/** Redis with sentinels, which all replicas of a rival share: accounts and values. */

export class NotSignedIn extends Error {
  override readonly name = 'NotSignedIn'
  readonly statusCode = 401
  readonly code = 'not_signed_in'
}

/** Redis is unreachable. The response is 503 with `Retry-After`. */
export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable'
}

const scanMs = 1_000
/** After a fail-over the last replica may still be catching up. */
const replicaTimeoutMs = 500

export type RedisValue = string | number | null | readonly RedisValue[]

export type SharedRedis = Awaited<ReturnType<typeof connectRedis>>

/** @param url `redis+sentinel://host:port,host:port/name/database` */
export async function connectRedis(url: string) {
  const reads = await connect(url)
  // A `WAIT` delays later commands on the same connection.
  const changes = await connect(url)
  let primaries = 0
  changes.on('topology-change', ({ type }) => {
    if (type === 'MASTER_CHANGE') primaries++
  })
  // One `WAIT` at a time, for all earlier changes. A `WAIT` per change would delay the next change.
  let lastWait: Promise<unknown> = Promise.resolve()
  let nextWait: Promise<number> | null = null
  const reached = () => {
    nextWait ??= lastWait.then(() => {
      nextWait = null
      const wait = send(changes, ['WAIT', '1', String(replicaTimeoutMs)]).then(Number)
      lastWait = wait.catch(() => {})
      return wait
    })
    return nextWait
  }
  return {
    /** @throws StoreUnavailable */
    send: (...command: string[]): Promise<RedisValue> => send(reads, command),
    /** Waits until a replica has the change, as with GATEPASS_DATA_REPLICAS=1. @throws StoreUnavailable */
    async sendSafely(...command: string[]): Promise<RedisValue> {
      const before = primaries
      const [reply, replicas] = await Promise.all([send(changes, command), reached()])
      // A new primary does not know the pending waits.
      if (replicas < 1 || primaries !== before) throw new StoreUnavailable('not on a replica')
      return reply
    },
    async close() {
      await Promise.all([reads.close(), changes.close()])
    },
  }
}

async function connect(url: string) {
  const [, nodes = '', name = '', database] =
    /^redis\+sentinel:\/\/([^/]+)\/([^/]+)\/(\d+)$/.exec(url) ?? []
  const sentinelRootNodes = nodes.split(',').map((node) => {
    const [host = '', port] = node.split(':')
    return { host, port: Number(port) }
  })
  const sentinel = createSentinel({
    name,
    sentinelRootNodes,
    nodeClientOptions: { database: Number(database) },
    // Without it, two commands may wait for the only connection forever.
    reserveClient: true,
    scanInterval: scanMs,
  })
  // Each failing command rejects by itself.
  sentinel.on('error', () => {})
  await sentinel.connect()
  return sentinel
}

async function send(client: Awaited<ReturnType<typeof connect>>, command: readonly string[]) {
  try {
    return await client.sendCommand<RedisValue>(false, [...command])
  } catch (cause) {
    throw new StoreUnavailable('Redis does not answer', { cause })
  }
}

/** Values that several replicas change. Each change is a compare-and-set and survives a fail-over. */
export function jsonStore(redis: SharedRedis, ttl_s: string) {
  const textOf = async (key: string) => String((await redis.send('GET', key)) ?? '')
  return {
    get: async <T>(key: string, defaultValue: T): Promise<T> =>
      decode(await textOf(key), defaultValue),
    async update<T>(key: string, defaultValue: T, change: (value: T) => T): Promise<T> {
      for (;;) {
        const before = await textOf(key)
        const value = change(decode(before, defaultValue))
        const args = [key, before, JSON.stringify(value), ttl_s]
        if ((await redis.sendSafely('EVAL', compareAndSet, '1', ...args)) === 1) return value
      }
    },
  }
}

export type JsonStore = ReturnType<typeof jsonStore>

const compareAndSet = `
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1`

function decode<T>(text: string, defaultValue: T): T {
  return text === '' ? defaultValue : (JSON.parse(text) as T)
}

export const credentials = z.strictObject({ username: z.string(), password: z.string() })

/** @throws NotSignedIn unless the password is that of the account */
export async function checkPassword(
  redis: SharedRedis,
  { username, password }: z.infer<typeof credentials>,
): Promise<void> {
  const stored = String(await redis.send('GET', `account:${username}`))
  if (!(await verifyPassword(password, stored))) {
    throw new NotSignedIn('wrong name or password')
  }
}
