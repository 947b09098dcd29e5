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
import { encodeField, expiryOf, locate } from './item-encoding.ts'
import {
  createNodes,
  HashRing,
  type MemcachedNode,
  type MemcachedOptions,
  waitForFirstNode,
} from './node.ts'
import { OwnerItems } from './owner-items.ts'
import { get } from './protocol.ts'
import { nameOf, parseMemcachedUrl } from './url.ts'

type Node = Pick<MemcachedNode, 'run' | 'close'>

/**
 * Session data in memcached 1.6 or later, on several nodes by consistent hashing. memcached is a
 * cache: a restart empties a node, and a full node evicts items. Either is a miss.
 *
 * memcached changes one item at a time, by compare-and-set on a CAS number, and cannot list items. So
 * each owner has an index, an item that lists the fields. The index gives each field a random item id,
 * drawn when the field was added. The item of a field holds that id, the version and the value, and
 * counts only while the index names its id. All items of an owner are on one node. Consequences, for
 * any interleaving of calls:
 *
 * - `end` replaces the index unconditionally: from then on no item counts. A write that read the old
 *   index may store its item, which no index names, while its change of the index fails. Nothing comes
 *   back, as a later index has other item ids. A first write that overlaps with `end` may be
 *   acknowledged although the owner had that field until then; the write is gone as well.
 * - Of two first writes, one creates the index and the other retries. Of two writes of one field, each
 *   expects the item that it read, so one of them retries.
 * - An evicted index makes all fields a miss. The next index has new item ids, and old items are
 *   overwritten or expire.
 * - A removed or evicted field stays in the index until the index is full (`removeMissing`).
 * - A command that a frozen node runs after its call has failed has a precondition, so it replaces
 *   nothing that is newer.
 *
 * The index of an ended owner is an item too. A node that restarts forgets who has ended: the holder of
 * an access token of an ended session may then write new data, but no old data comes back.
 *
 * Calls for the owners of a node that is down fail. Another node would find nothing and start anew, and
 * the return of the node would bring back outdated data.
 */
export class MemcachedDataStore implements DataStore {
  readonly hasCircuitBreaker = true
  readonly #nodes: readonly Node[]
  readonly #ring: HashRing

  /** @param names of the nodes, in their order */
  constructor(nodes: readonly Node[], names: readonly string[]) {
    this.#nodes = nodes
    this.#ring = new HashRing(names)
  }

  /** @throws `config_invalid`, `store_unavailable` */
  static async open(url: string, options: MemcachedOptions = {}): Promise<MemcachedDataStore> {
    const target = parseMemcachedUrl(url)
    const nodes = createNodes(target, options)
    const store = new MemcachedDataStore(nodes, target.nodes.map(nameOf))
    try {
      await waitForFirstNode(target, nodes, options.openMs)
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
        const snapshot = await items.read([field])
        if (snapshot.index.state === 'ended') return 'ended'
        const current = snapshot.fields.get(field)
        if (!isExpected(current, expected)) return 'conflict'
        if (current === undefined) return 'absent'
        if (await items.removeField(field, snapshot)) return 'removed'
      }
    })
  }

  touch(owner: DataOwner, expiresAtMs: number): Promise<void> {
    return this.#run(owner, async (items) => {
      for (;;) {
        const snapshot = await items.read([])
        if (snapshot.index.state !== 'live' || snapshot.ifIndexUnchanged === 'absent') return
        if ((await items.extend(snapshot, expiresAtMs, null)) !== null) return
      }
    })
  }

  end(owner: DataOwner, untilMs: number, nowMs: number): Promise<void> {
    return this.#run(owner, (items) => items.end(untilMs > nowMs ? expiryOf(untilMs) : null))
  }

  /** A no-op: memcached removes expired items by itself. */
  async removeExpired(): Promise<boolean> {
    return false
  }

  /** Resolves when one node responds: the data of other owners may be unavailable. */
  async ping(): Promise<void> {
    const pings = this.#nodes.map((node) => node.run((send) => send([get('gp:ping')])))
    const outcomes = await Promise.allSettled(pings)
    if (outcomes.every(({ status }) => status === 'rejected')) await pings[0]
  }

  async close(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.close()))
  }

  async #run<T>(owner: DataOwner, call: (items: OwnerItems) => Promise<T>): Promise<T> {
    const { hash, indexKey } = locate(owner)
    const node = this.#nodes[this.#ring.nodeOf(hash)] as Node
    return node.run((send) => call(new OwnerItems(send, indexKey)))
  }
}

/** Returns null if the items have changed meanwhile, so that the write must be retried. */
async function tryToWrite(items: OwnerItems, write: DataWrite): Promise<WriteOutcome | null> {
  const { field, version, value, expected, maxFields, expiresAtMs } = write
  const snapshot = await items.read([field])
  const { state, itemIds } = snapshot.index
  if (state === 'ended') return 'ended'
  const current = snapshot.fields.get(field)
  const isDone = current?.version === version
  if (!isDone && !isExpected(current, expected)) return 'conflict'
  if (!itemIds.has(field) && itemIds.size >= maxFields) {
    return (await items.removeMissing(snapshot)) ? null : 'full'
  }
  const index = await items.extend(snapshot, expiresAtMs, field)
  if (index === null) return null
  // An earlier attempt has stored the field; only the index or the reply was missing.
  if (isDone) return 'written'
  const data = encodeField(index.itemIds.get(field) ?? '', version, value)
  return (await items.putField(field, data, index, snapshot)) ? 'written' : null
}

function isExpected(current: StoredField | undefined, expected: Expected): boolean {
  return expected === undefined || (current?.version ?? null) === expected
}
