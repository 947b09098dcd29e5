import { readFileSync } from 'node:fs'
import { freePort } from '../../../../scripts/free-port.ts'
import type { ServerSpec } from '../../harness/server.ts'
import type { ActionName } from '../script.ts'
import type { ClientScheme, RunningSystem, SurgeContext } from '../system.ts'
import { startProxy } from '../systems/proxy.ts'
import { Replicas } from '../systems/replicas.ts'
import { startRedisSentinels } from '../systems/sentinels.ts'
import type { RivalAddresses } from './nginx.ts'
import { accountKey } from './servers/accounts.ts'
import { connectRedis } from './servers/shared-redis.ts'

/** What all rivals are made of: the same Redis, the same nginx, as many shops and issuers. */

/** How long sessions last: longer than a surge. */
export const sessionTtl_s = 3600

export interface Places {
  readonly redisUrl: string
  /** As users reach it, and as shops reach the issuers. */
  readonly url: string
  readonly innerUrl: string
}

/** A program of a rival: its module, below `servers`, and what it is told after its own name. */
export interface RivalProgram {
  readonly module: string
  readonly args: readonly string[]
}

export interface RivalParts {
  readonly scheme: ClientScheme
  readonly setUp: readonly string[]
  proxy(addresses: RivalAddresses): string
  shop(places: Places): RivalProgram
  /** Left out where the shops sign users in. */
  issuer?(places: Places): RivalProgram
}

export async function startRival(parts: RivalParts, ctx: SurgeContext): Promise<RunningSystem> {
  const { bench, options } = ctx
  const redis = await startRedisSentinels(bench)
  const redisUrl = redis.urlOf(0)
  await storeAccounts(redisUrl, ctx)
  const [port, innerPort] = [await freePort(), await freePort()]
  const [url, innerUrl] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${innerPort}`]
  const places = { redisUrl, url, innerUrl }
  const shops = new Replicas('shop', specOf(parts.shop(places)), bench)
  const issuers =
    parts.issuer === undefined ? null : new Replicas('issuer', specOf(parts.issuer(places)), bench)
  for (let n = 0; n < options.issuers; n++) await issuers?.add()
  for (let n = 0; n < options.shops; n++) await shops.add()
  const proxy = await startProxy(bench, port, () =>
    parts.proxy({
      port,
      innerPort,
      issuers: issuers?.running.map(({ address }) => address) ?? [],
      shops: shops.running,
    }),
  )
  const kinds = { shop: shops, issuer: issuers }
  return {
    url,
    scheme: parts.scheme,
    setUp: [...parts.setUp, ...commonSetUp(ctx, issuers !== null)],
    guards: () => shops.running.map(({ server }) => `${server.url}/preferences`),
    async act(action) {
      if (action === 'fail-over') return redis.failOver()
      const done = await change(kinds, action)
      if (action.startsWith('add-') && done !== null) proxy.reload()
      return done
    },
    async stop() {
      const all = [...shops.running, ...(issuers?.running ?? [])]
      await Promise.all(all.map(({ server }) => server.stop()))
    },
  }
}

/** A rival has no verifiers and rotates no keys: it is spared what is done to those. */
async function change(
  kinds: Readonly<Record<'shop' | 'issuer', Replicas | null>>,
  action: ActionName,
): Promise<string | null> {
  const [verb, kind = ''] = action.split('-')
  const replicas = kind === 'shop' || kind === 'issuer' ? kinds[kind] : null
  if (replicas === null) return null
  if (verb === 'kill') return `${replicas.kill().name} killed`
  return `${(await replicas.add()).name} added`
}

function specOf({ module, args }: RivalProgram): (name: string) => ServerSpec {
  return (name) => ({
    name,
    module: new URL(`servers/${module}`, import.meta.url),
    args: [name, ...args],
    // The shop's own code imports Gatepass by its name.
    env: { NODE_OPTIONS: '--conditions=gatepass-source' },
  })
}

async function storeAccounts(url: string, { users, passwordHash }: SurgeContext): Promise<void> {
  const redis = await connectRedis(url)
  const atOnce = 200
  for (let start = 0; start < users.length; start += atOnce) {
    const some = users.slice(start, start + atOnce)
    await Promise.all(some.map(({ name }) => redis.send('SET', accountKey(name), passwordHash)))
  }
  await redis.close()
}

/** A package with its version, as the lock file has it. */
export function named(name: string): string {
  const lock = new URL('../../../../package-lock.json', import.meta.url)
  const { packages } = JSON.parse(readFileSync(lock, 'utf8')) as LockFile
  return `${name} ${packages[`node_modules/${name}`]?.version}`
}

interface LockFile {
  readonly packages: Readonly<Record<string, { readonly version: string }>>
}

function commonSetUp({ options }: SurgeContext, hasIssuers: boolean): string[] {
  const issuers = hasIssuers ? `${options.issuers} issuers; ` : ''
  return [
    `nginx; ${issuers}${options.shops} replicas of the shop, its carts and its checkout as in examples/shop`,
    `accounts, orders and preferences in Redis: a primary, 2 replicas, 3 sentinels (down after 500 ms), min-replicas-to-write 1, and each write of a cart, an order or preferences waits for a replica; the sentinel client of ${named('@redis/client')}, which sends a command again after a fail-over; 503 with Retry-After where Redis is away`,
  ]
}
