import type {
  DataOwner,
  DataRemoval,
  DataStore,
  DataWrite,
  Expected,
  RemovalOutcome,
  StoredField,
  WriteOutcome,
} from '../data-store.ts'
import { get } from './commands.ts'
import { Ring } from './hash-ring.ts'
import { encodeField, expiryOf, placeOf } from './item-encoding.ts'
import type { MemcachedNode } from './node.ts'
import { type MemcachedOptions, nodesOf, untilOneAnswers } from './open.ts'
import { OwnedItems } from './owner-items.ts'
import { nameOf, parseMemcachedUrl } from './url.ts'

type Node = Pick<MemcachedNode, 'run' | 'close'>

/**
 * Session data in memcached 1.6 or later, on several nodes by consistent hashing. A cache: a restart
 * empties a node, a full one drops what was not used for long, and either is a miss.
 *
 * memcached changes one item at a time, by compare-and-set on a number that each store changes, and
 * can list nothing. So each owner has an index, an item with the names of its fields; each name has a
 * random slot, drawn when it was put there. An item for each field holds that slot, its version and
 * its value; it counts only while the index names its slot. All are on one node, and are read in one
 * round trip. From this follows, whatever comes between the steps of another call:
 *
 * - `end` replaces the index by a mark, without a condition: from then on no item counts. A write that
 *   read the index before may still store its item, which no slot leads to any more, while its change
 *   of the index fails. Nothing comes back: a later life has other slots. The items are wiped out after
 *   that, each if it is of its old slot. So a first write at that time may be acknowledged though there
 *   was something until the end; it is gone with it.
 * - Two first writes: one creates the index, the other finds it there and begins again. Two of one
 *   field: each expects the item as it read it, so one of them begins again.
 * - The index is dropped and fields stay: all is a miss. The next index has new slots, and the old
 *   items are overwritten when their turn comes, or expire.
 * - A field is dropped or removed and its name stays: a miss, until it is written again. Only when
 *   there are too many names are those without a field taken out, in two steps (`retire`), so that who
 *   is about to write one of them notices.
 * - A command that runs long after its call was given up, at a node that was frozen: it has a
 *   condition, and stores nothing over what is newer.
 *
 * The mark of an ended owner is an item too: a node that is emptied has forgotten who has ended. Then
 * new data may be written for a session that is over by who still has its access token; no old data
 * comes back.
 *
 * A node that is down has no stand-in, and calls for its owners fail: on another node they would find
 * nothing and begin anew, and when the node came back, so would the data from before.
 */
export class MemcachedDataStore implements DataStore {
  readonly hasCircuitBreaker = true
  readonly #nodes: readonly Node[]
  readonly #ring: Ring

  /** @param names of the nodes, in their order */
  constructor(nodes: readonly Node[], names: readonly string[]) {
    this.#nodes = nodes
    this.#ring = new Ring(names)
  }

  /** @throws `config_invalid`, `store_unavailable` */
  static async open(url: string, options: MemcachedOptions = {}): Promise<MemcachedDataStore> {
    const target = parseMemcachedUrl(url)
    const nodes = nodesOf(target, options)
    const store = new MemcachedDataStore(nodes, target.nodes.map(nameOf))
    try {
      await untilOneAnswers(target, nodes, options.openMs)
    } catch (error) {
      await store.close()
      throw error
    }
    return store
  }

  read(
    owner: DataOwner,
    fields: readonly string[] | 'all',
  ): Promise<ReadonlyMap<string, StoredField>> {
    return this.#run(owner, async (items) => {
      return (await (fields === 'all' ? items.readAll() : items.read(fields))).fields
    })
  }

  write(write: DataWrite): Promise<WriteOutcome> {
    return this.#run(write.owner, async (items) => {
      for (;;) {
        const outcome = await tryToWrite(items, write)
        if (outcome !== null) return outcome
      }
    })
  }

  remove({ owner, field, expected }: DataRemoval): Promise<RemovalOutcome> {
    return this.#run(owner, async (items) => {
      for (;;) {
        const found = await items.read([field])
        if (found.index.state === 'ended') return 'ended'
        const current = found.fields.get(field)
        if (!isExpected(current, expected)) return 'conflict'
        if (current === undefined) return 'absent'
        if (await items.removeField(field, found)) return 'removed'
      }
    })
  }

  touch(owner: DataOwner, expiresAtMs: number): Promise<void> {
    return this.#run(owner, async (items) => {
      for (;;) {
        const found = await items.read([])
        if (found.index.state !== 'live' || found.indexIs === 'absent') return
        if ((await items.extend(found, expiresAtMs, null)) !== null) return
      }
    })
  }

  end(owner: DataOwner, untilMs: number, nowMs: number): Promise<void> {
    return this.#run(owner, (items) => items.end(untilMs > nowMs ? expiryOf(untilMs) : null))
  }

  /** memcached removes by itself what has expired. */
  async removeExpired(): Promise<boolean> {
    return false
  }

  /** Resolves when one node answers: while others are away, some owners' data is, and no more. */
  async ping(): Promise<void> {
    const pings = this.#nodes.map((node) => node.run((exchange) => exchange([get('gp:ping')])))
    const outcomes = await Promise.allSettled(pings)
    if (outcomes.every(({ status }) => status === 'rejected')) await pings[0]
  }

  async close(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.close()))
  }

  async #run<T>(owner: DataOwner, work: (items: OwnedItems) => Promise<T>): Promise<T> {
    const { hash, indexKey } = placeOf(owner)
    const node = this.#nodes[this.#ring.nodeOf(hash)] as Node
    return node.run((exchange) => work(new OwnedItems(exchange, indexKey)))
  }
}

/** null when something has changed meanwhile, and it is to be tried again. */
async function tryToWrite(items: OwnedItems, write: DataWrite): Promise<WriteOutcome | null> {
  const { field, version, value, expected, maxFields, expiresAtMs } = write
  const found = await items.read([field])
  const { state, slots } = found.index
  if (state === 'ended') return 'ended'
  const current = found.fields.get(field)
  const isDone = current?.version === version
  if (!isDone && !isExpected(current, expected)) return 'conflict'
  if (!slots.has(field) && slots.size >= maxFields) {
    return (await items.retire(found)) ? null : 'full'
  }
  const index = await items.extend(found, expiresAtMs, field)
  if (index === null) return null
  // It was stored the time before, though not extended, or the answer was lost.
  if (isDone) return 'written'
  const data = encodeField(index.slots.get(field) ?? '', version, value)
  return (await items.putField(field, data, index, found)) ? 'written' : null
}

function isExpected(current: StoredField | undefined, expected: Expected): boolean {
  return expected === undefined || (current?.version ?? null) === expected
}
