import {
  type DataOwner,
  type DataRemoval,
  type DataStore,
  type DataWrite,
  isExpected,
  type RemovalOutcome,
  type StoredField,
  type WriteOutcome,
} from '../data-store.ts'
import {
  createNodes,
  HashRing,
  type MemcachedNode,
  type MemcachedOptions,
  waitForFirstNode,
} from './node.ts'
import { expiryOf, locate, OwnerItems } from './owner-items.ts'
import { parseMemcachedUrl } from './url.ts'

type Node = Pick<MemcachedNode, 'name' | 'run' | 'close'>

/**
 * Session data in memcached 1.6 or later, on several nodes by consistent hashing. An owner's fields count
 * only while the owner's index names their random item ids; see docs/architecture.md, "Memcached".
 */
export class MemcachedDataStore implements DataStore {
  readonly hasCircuitBreaker = true
  readonly #nodes: readonly Node[]
  readonly #ring: HashRing

  constructor(nodes: readonly Node[]) {
    this.#nodes = nodes
    this.#ring = new HashRing(nodes.map(({ name }) => name))
  }

  /** @throws `config_invalid`, `store_unavailable` */
  static async open(url: string, options: MemcachedOptions): Promise<MemcachedDataStore> {
    const nodes = createNodes(parseMemcachedUrl(url), options)
    const store = new MemcachedDataStore(nodes)
    try {
      await waitForFirstNode(nodes, options.openMs)
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
        if (!isExpected(current?.version ?? null, expected)) return 'conflict'
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
  const { field, version, expected, maxFields, expiresAtMs } = write
  const snapshot = await items.read([field])
  const { state, itemIds } = snapshot.index
  if (state === 'ended') return 'ended'
  const current = snapshot.fields.get(field)
  const isDone = current?.version === version
  if (!isDone && !isExpected(current?.version ?? null, expected)) return 'conflict'
  if (!itemIds.has(field) && itemIds.size >= maxFields) {
    return (await items.removeMissing(snapshot)) ? null : 'full'
  }
  const index = await items.extend(snapshot, expiresAtMs, field)
  if (index === null) return null
  // An earlier attempt has stored the field; only the index or the reply was missing.
  if (isDone) return 'written'
  return (await items.putField(write, index, snapshot)) ? 'written' : null
}
