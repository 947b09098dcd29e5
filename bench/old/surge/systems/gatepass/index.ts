import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../../../../scripts/free-port.ts'
import { startPostgres } from '../../../stores/postgres.ts'
import type { RunningSystem, SurgeContext, System } from '../../system.ts'
import { startLoneRedis } from '../lone-redis.ts'
import { startProxy, untilServed } from '../proxy.ts'
import { startRedisSentinels } from '../sentinels.ts'
import { importAccounts } from './accounts.ts'
import { Fleet } from './fleet.ts'
import { gatepassProxy } from './nginx.ts'
import { gatepassScheme } from './scheme.ts'
import { gatepassSettings } from './settings.ts'

/** The product, as docs/operations.md and examples/ set it up. */
export const gatepass: System = {
  name: 'gatepass',
  title: 'Gatepass',
  start,
}

async function start(ctx: SurgeContext): Promise<RunningSystem> {
  const { bench, options, users, passwordHash } = ctx
  const postgres = await startPostgres(bench)
  const redis = await startRedisSentinels(bench)
  const data = options.fault === 'lose-writes' ? await startLoneRedis(bench) : null
  await importAccounts(postgres.url, users, passwordHash)

  const [port, innerPort] = [await freePort(), await freePort()]
  const url = `http://127.0.0.1:${port}`
  const settings = gatepassSettings(
    {
      url,
      innerUrl: `http://127.0.0.1:${innerPort}`,
      postgresUrl: postgres.url,
      sessionsUrl: redis.urlOf(0),
      dataUrl: data?.url ?? redis.urlOf(1),
    },
    options,
  )
  const cwd = join(bench.scratch, 'services')
  mkdirSync(cwd)
  const fleet = new Fleet(settings, cwd, bench)
  await fleet.addIssuers(options.issuers)
  const proxy = await startProxy(bench, port, () =>
    gatepassProxy({ port, innerPort, ...fleet.addresses() }),
  )
  await fleet.addReaders(options)
  proxy.reload()
  await untilServed(`${url}/products`)
  return {
    url,
    scheme: gatepassScheme(url, options.fault !== 'no-grace'),
    setUp: describe(ctx),
    guards: () => fleet.guards(),
    async act(action) {
      if (action === 'fail-over') {
        await data?.loseAll()
        return redis.failOver()
      }
      const done = await fleet.act(action)
      if (action.startsWith('add-')) proxy.reload()
      return done
    },
    stop: () => fleet.stop(),
  }
}

function describe({ options }: SurgeContext): string[] {
  const { issuers, verifiers, shops, accessTtl_s } = options
  return [
    `nginx; ${issuers} issuers; ${verifiers} verifiers for forward-auth on /orders; ${shops} replicas of examples/shop, asked in turn`,
    'accounts and keys in Postgres, sessions and carts in Redis: a primary, 2 replicas, 3 sentinels (down after 500 ms), min-replicas-to-write 1, GATEPASS_SESSIONS_REPLICAS=1 and GATEPASS_DATA_REPLICAS=1',
    `access tokens of ${accessTtl_s} s, which every replica checks by itself; grace 10 s, JWKS max-age 2 s`,
  ]
}
