import t, { type Test } from 'tap'
import { PostgresCounterStore } from '../../../src/stores/postgres/counter-store.ts'
import { closedWith } from '../../support/closed-with.ts'
import { patient } from '../../support/patience.ts'
import { PostgresServer } from '../../support/postgres.ts'
import { counterStoreContract, setBackContract, stopTime } from '../counter-store-contract.ts'

const server = await PostgresServer.start(t)

async function open(t: Test, url: string): Promise<PostgresCounterStore> {
  return closedWith(t, await PostgresCounterStore.open(url, patient))
}

async function countRows(url: string): Promise<number> {
  const [row] = await server.query('SELECT count(*)::int AS n FROM gatepass.counters', url)
  return Number(row?.n)
}

counterStoreContract(t, async (t) => {
  const url = await server.createDatabase()
  return { open: () => open(t, url), wait: stopTime(t), stored: () => countRows(url) }
})

setBackContract(t, async (t) => open(t, await server.createDatabase()))

t.test('expired rows do not accumulate', async (t) => {
  const url = await server.createDatabase()
  const store = await open(t, url)
  const wait = stopTime(t)
  const counter = store.counter({ name: 'test', limit: 1, windowSeconds: 60 })
  for (let n = 0; n < 10; n++) await counter.add(`old-${n}`)
  wait(61)
  for (let n = 0; n < 10; n++) await counter.add(`new-${n}`)
  t.equal(await countRows(url), 10)
})
