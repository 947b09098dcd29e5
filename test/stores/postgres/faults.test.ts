import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { isGatepassError } from '../../../src/core/errors.ts'
import { randomId } from '../../../src/core/secrets.ts'
import { PostgresSessionStore } from '../../../src/stores/postgres/session-store.ts'
import { closedWith } from '../../support/closed-with.ts'
import { patient } from '../../support/patience.ts'
import { PostgresServer } from '../../support/postgres.ts'
import { policy, rotation, session, t0 } from '../../support/sessions.ts'
import { until } from '../../support/until.ts'
import { TcpProxy } from '../tcp-proxy.ts'

// Durable, as acknowledged writes must survive a kill.
const server = await PostgresServer.start(t, { settings: { fsync: 'on' } })

const timeoutMs = 1_000

/** A device that refreshes repeatedly, and repeats requests without a response. */
class Device {
  readonly sid = randomId()
  /** The last acknowledged generation. */
  generation = 0
  refreshes = 0
  refused = 0
  #nowMs = t0
  readonly #store: PostgresSessionStore

  constructor(store: PostgresSessionStore) {
    this.#store = store
  }

  signIn(store: PostgresSessionStore): Promise<number> {
    return store.create(session({ sid: this.sid, endsAtMs: Number.MAX_SAFE_INTEGER }))
  }

  /** Refreshes once. Throws for any failure except `store_unavailable`. */
  async refresh(): Promise<void> {
    this.#nowMs += policy.graceMs
    const request = rotation({ sid: this.sid, generation: this.generation, nowMs: this.#nowMs })
    for (;;) {
      try {
        const { outcome, session } = await this.#store.rotate(request)
        if (outcome !== 'rotated' && outcome !== 'replayed') throw new Error(outcome)
        this.generation = session?.generation ?? 0
        this.refreshes += 1
        return
      } catch (error) {
        if (!isGatepassError(error, 'store_unavailable')) throw error
        this.refused += 1
        await sleep(20)
      }
    }
  }
}

async function untilOpened(url: string): Promise<PostgresSessionStore> {
  for (;;) {
    try {
      return await PostgresSessionStore.open(url, { timeoutMs })
    } catch (error) {
      if (!isGatepassError(error, 'store_unavailable')) throw error
    }
  }
}

/** Lets devices refresh during a fault, and checks that no acknowledged rotation is lost. */
async function live(
  t: Test,
  happens: (devices: readonly Device[]) => Promise<void>,
): Promise<void> {
  const url = await server.createDatabase()
  // A loaded machine must not fail the calls outside the fault.
  const patientStore = await PostgresSessionStore.open(url, patient)
  const store = await untilOpened(url)
  t.teardown(() => Promise.all([patientStore.close(), store.close()]))
  const devices = Array.from({ length: 12 }, () => new Device(store))
  await Promise.all(devices.map((device) => device.signIn(patientStore)))
  let isOver = false
  const lives = devices.map(async (device) => {
    while (!isOver) await device.refresh()
  })
  const allRefresh = () => {
    const before = devices.map(({ refreshes }) => refreshes)
    const haveRefreshed = () =>
      devices.every(({ refreshes }, n) => refreshes > (before[n] ?? 0) + 1)
    return Promise.race([until('all devices go on', haveRefreshed), ...lives])
  }
  await allRefresh()
  await Promise.race([happens(devices), ...lives])
  await allRefresh()
  isOver = true
  await Promise.all(lives)
  for (const device of devices) {
    const stored = await patientStore.find(device.sid, t0)
    t.equal(stored?.generation, device.generation, 'nothing that was acknowledged is lost')
  }
}

t.test('Postgres is restarted under load', (t) =>
  live(t, async () => {
    await server.stop('SIGINT')
    await server.up()
  }),
)

t.test('Postgres is down for longer than a deadline', (t) =>
  live(t, async (devices) => {
    await server.stop('SIGQUIT')
    await until('every call has failed', () => devices.every(({ refused }) => refused > 1))
    await server.up()
  }),
)

t.test('Postgres is killed under load', (t) =>
  live(t, async () => {
    await server.kill()
    await server.up()
  }),
)

t.test('an administrator ends all connections repeatedly', (t) =>
  live(t, async () => {
    for (let n = 0; n < 10; n++) {
      await server.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'gatepass'`,
      )
      await sleep(20)
    }
  }),
)

t.test('a connection to a server that has become read-only is replaced', async (t) => {
  const url = await server.createDatabase()
  const store = closedWith(t, await PostgresSessionStore.open(url, patient))
  // Like a primary that becomes a standby, behind an address that leads to the new primary.
  const readsOnly = (is: 'on' | 'off') =>
    server.query(
      `ALTER DATABASE ${new URL(url).pathname.slice(1)} SET default_transaction_read_only = ${is}`,
    )
  await readsOnly('on')
  const first = session({ sid: randomId() })
  await t.rejects(store.create(first), { code: 'store_unavailable', cause: { code: '25006' } })
  await readsOnly('off')
  await store.create(first)
  t.same(await store.find(first.sid, t0), first)
})

t.test('a rotation whose response is lost is repeated, and its replay is the result', async (t) => {
  const url = await server.createDatabase()
  const proxy = await TcpProxy.start(t, server.port)
  const store = closedWith(t, await PostgresSessionStore.open(proxy.through(url), patient))
  const one = session({ sid: randomId() })
  await store.create(one)
  proxy.loseNextResponse()
  // A call is repeated if the grace period is longer than its deadline.
  const graceMs = 2 * patient.timeoutMs
  const nowMs = t0 + graceMs
  const rules = { ...policy, graceMs }
  const request = rotation({ sid: one.sid, found: one, nowMs, policy: rules })
  const result = await store.rotate(request)
  t.match(result, { outcome: 'replayed', session: { generation: 1, mintedAtMs: nowMs } })
})

t.test(
  'without a grace period a rotation is not repeated, as it would count as reuse',
  async (t) => {
    const url = await server.createDatabase()
    const proxy = await TcpProxy.start(t, server.port)
    const store = closedWith(t, await PostgresSessionStore.open(proxy.through(url), patient))
    const one = session({ sid: randomId() })
    await store.create(one)
    proxy.loseNextResponse()
    const strict = { ...policy, graceMs: 0 }
    const request = rotation({ sid: one.sid, found: one, nowMs: t0 + 1, policy: strict })
    await t.rejects(store.rotate(request), { code: 'store_unavailable' })
    t.match(await store.find(one.sid, t0 + 1), { generation: 1, revokedAtMs: null })
  },
)
