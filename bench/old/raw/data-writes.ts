import { createClient } from '@redis/client'
import { randomId } from '../../../src/core/secrets.ts'
import type { DataOwner, DataStore } from '../../../src/stores/data-store.ts'
import { openDataStore } from '../../../src/stores/open-stores.ts'
import { openLink } from '../../../src/stores/redis/open.ts'
import { runInFlight } from './in-flight.ts'

/**
 * Writes of one field in this process: each a compare-and-set of a store, or nothing but SET through
 * the client that the store uses. Values are as long as a small cart that is encrypted.
 */

const [, , what = '', url = ''] = process.argv.slice(2)
const ownerCount = 4096
/** A busy machine is no outage. */
const deadlineMs = 5_000
const value = Buffer.alloc(200, 'v')
const hour_ms = 3_600_000
const expiresAtMs = Date.now() + 24 * hour_ms

/** Each lane has owners of its own: what competes for one field is another measurement. */
interface Owned {
  readonly owner: DataOwner
  version: string | null
}

async function compareAndSet(): Promise<(lane: number) => Promise<void>> {
  const store: DataStore = await openDataStore(url, '.', { deadlineMs, replicas: 0 })
  const lanes = new Map<number, Owned[]>()
  const turns = new Map<number, number>()
  return async (lane) => {
    const owned = lanes.get(lane) ?? newOwners()
    lanes.set(lane, owned)
    const turn = (turns.get(lane) ?? 0) + 1
    turns.set(lane, turn)
    const one = owned[turn % owned.length] as Owned
    const version = randomId()
    const outcome = await store.write({
      owner: one.owner,
      field: 'cart',
      value,
      version,
      expected: one.version,
      maxFields: 64,
      expiresAtMs,
      nowMs: Date.now(),
    })
    if (outcome !== 'written') throw new Error(`a write was answered ${outcome}`)
    one.version = version
  }
}

function newOwners(): Owned[] {
  return Array.from({ length: ownerCount / 64 }, () => ({
    owner: { scope: 'session', id: randomId() },
    version: null,
  }))
}

/** SET as the store would send it: with its client, its deadline and its limit of calls. */
async function plainSet(): Promise<() => Promise<unknown>> {
  const link = await openLink(url, { deadlineMs })
  return sets((command) => link.run((call) => call.command(command[1] as string, command)))
}

/** SET by the client alone, which may wait for ever. */
async function bareSet(): Promise<() => Promise<unknown>> {
  const client = createClient({ url })
  await client.connect()
  return sets((command) => client.sendCommand(command))
}

function sets(send: (command: (string | Buffer)[]) => Promise<unknown>): () => Promise<unknown> {
  const keys = Array.from({ length: ownerCount }, () => `gp:d:session:${randomId()}`)
  let turn = 0
  return () => send(['SET', keys[turn++ % ownerCount] as string, value])
}

const works: Readonly<Record<string, () => Promise<(lane: number) => Promise<unknown>>>> = {
  'compare-and-set': compareAndSet,
  set: plainSet,
  'bare-set': bareSet,
}
const make = works[what]
if (make === undefined) throw new Error(`there is no work ${what}`)
await runInFlight(await make())
