import { digest, digestText, randomId } from '../../core/secrets.ts'
import type { DataOwner, DataWrite, StoredField } from '../data-store.ts'
import type { Send } from './node.ts'
import {
  type ExpirySeconds,
  get,
  type Precondition,
  peek,
  put,
  type Reply,
  remove,
  touch,
} from './protocol.ts'

/** The index of an owner: one item that lists the owner's fields. */
interface Index {
  readonly state: 'live' | 'ended'
  /** When all data of the owner expires. */
  readonly expirySeconds: ExpirySeconds
  /** When the items of the fields expire: not before `expirySeconds`, so that few touches must reach them. */
  readonly fieldsExpirySeconds: ExpirySeconds
  /**
   * The random id of each field's item, by field. An item with another id belongs to an earlier
   * life of the owner.
   */
  readonly itemIds: ReadonlyMap<string, string>
}

const emptyIndex: Index = {
  state: 'live',
  expirySeconds: 0,
  fieldsExpirySeconds: 0,
  itemIds: new Map(),
}

/** Returns the digest that selects the node of an owner, and the key of the owner's index. */
export function locate({ scope, id }: DataOwner): { hash: Buffer; indexKey: string } {
  const hash = digest(`${scope}\0${id}`)
  return { hash, indexKey: `gp:i:${hash.toString('base64url')}` }
}

/** Returns the key of a field's item. Like the key of an index, it has one length and safe characters. */
export function fieldKeyOf(indexKey: string, field: string): string {
  return `gp:f:${digestText(`${indexKey} ${field}`)}`
}

/** 32 bits of an item id, stored as client flags: they identify an item without its value. */
function flagsOf(itemId: string): number {
  return Buffer.from(itemId, 'base64url').readUInt32BE(0)
}

// An index is text: its state and times, then a line per field. Field names contain no space.

export function encodeIndex({ state, expirySeconds, fieldsExpirySeconds, itemIds }: Index): Buffer {
  const lines = [...itemIds].map(([field, itemId]) => `\n${field} ${itemId}`)
  return Buffer.from(`${state} ${expirySeconds} ${fieldsExpirySeconds}${lines.join('')}`)
}

/** Returns null if the data is not an index. */
export function decodeIndex(data: Buffer): Index | null {
  const [head = '', ...lines] = data.toString().split('\n')
  const [, state, expiry, fieldsExpiry] = /^(live|ended) (\d{1,10}) (\d{1,10})$/.exec(head) ?? []
  const entries = lines.map((line) => /^([^ ]+) ([\w-]{22})$/.exec(line))
  if (state === undefined || entries.includes(null)) return null
  return {
    state: state as Index['state'],
    expirySeconds: Number(expiry),
    fieldsExpirySeconds: Number(fieldsExpiry),
    itemIds: new Map(entries.map((entry) => [entry?.[1] ?? '', entry?.[2] ?? ''])),
  }
}

// The item of a field is its id, the version, a zero byte and the value. A retired item is its id alone.

export function encodeField(itemId: string, version: string, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${itemId}${version}\0`, 'latin1'), value])
}

export function encodeRetired(itemId: string): Buffer {
  return Buffer.from(itemId, 'latin1')
}

/** Returns null if the item has another id. */
export function decodeField(data: Buffer, itemId: string): StoredField | 'retired' | null {
  if (data.toString('latin1', 0, itemId.length) !== itemId) return null
  if (data.length === itemId.length) return 'retired'
  const end = data.indexOf(0, itemId.length)
  if (end === -1) return null
  return { version: data.toString('latin1', itemId.length, end), value: data.subarray(end + 1) }
}

/** memcached reads a smaller number as a period from now. */
const minExpirySeconds = 30 * 24 * 3600 + 1
/** memcached counts in signed 32-bit numbers. */
const maxExpirySeconds = 2 ** 31 - 1

/** Converts a time, rounded up to the whole seconds of memcached. */
export function expiryOf(timeMs: number): ExpirySeconds {
  return Math.min(maxExpirySeconds, Math.max(minExpirySeconds, Math.ceil(timeMs / 1000)))
}

/** The items of an owner at the time of a read. */
export interface Snapshot {
  /** Without the fields whose items are retired. */
  readonly index: Index
  /** The precondition for a change of the index: it is unchanged. */
  readonly ifIndexUnchanged: Precondition
  /** The requested fields that exist. */
  readonly fields: ReadonlyMap<string, StoredField>
  /** The precondition for a change of each requested field: its item, valid or not, is unchanged. */
  readonly ifFieldUnchanged: ReadonlyMap<string, Precondition>
}

/** The item of a field of the index, as far as it is known without its value. */
interface PeekedItem {
  readonly field: string
  readonly itemId: string
  readonly key: string
  readonly exists: boolean
  readonly ifUnchanged: Precondition
}

/**
 * How much longer the items of fields live than the index, so that not every touch must reach the
 * items.
 */
const fieldsExpiryMarginSeconds = 600
/** Longer than any command can be in progress. */
const retiredForSeconds = 60

/** The items of one owner on one node: an index, and one item per field. */
export class OwnerItems {
  readonly #send: Send
  readonly #indexKey: string

  constructor(send: Send, indexKey: string) {
    this.#send = send
    this.#indexKey = indexKey
  }

  /**
   * Reads the index and some fields in one round trip. The index is read last: a field whose item it
   * names existed at that time, and a reader of an ended owner learns that the owner has ended.
   */
  async read(fields: readonly string[]): Promise<Snapshot> {
    const replies = await this.#send([
      ...fields.map((field) => get(this.#keyOf(field))),
      get(this.#indexKey),
    ])
    const last = replies.at(-1)
    const index = indexOf(last)
    const itemIds = new Map(index.itemIds)
    const found = new Map<string, StoredField>()
    for (const [at, field] of fields.entries()) {
      const itemId = itemIds.get(field)
      const data = replies[at]?.data ?? null
      if (itemId === undefined || data === null) continue
      const stored = decodeField(data, itemId)
      if (stored === 'retired') itemIds.delete(field)
      else if (stored !== null) found.set(field, stored)
    }
    return {
      index: { ...index, itemIds },
      ifIndexUnchanged: unchanged(last),
      fields: found,
      ifFieldUnchanged: new Map(fields.map((field, at) => [field, unchanged(replies[at])])),
    }
  }

  /** Reads all fields of the index: two round trips, or more if fields are added meanwhile. */
  async readAll(): Promise<Snapshot> {
    let fields: readonly string[] = []
    for (;;) {
      const snapshot = await this.read(fields)
      const names = [...snapshot.index.itemIds.keys()]
      if (names.every((name) => fields.includes(name))) return snapshot
      fields = names
    }
  }

  /**
   * Adds a field, or none, to the index and postpones its expiry.
   * @returns the new index, or null if the index has changed meanwhile
   */
  async extend(
    snapshot: Snapshot,
    expiresAtMs: number,
    field: string | null,
  ): Promise<Index | null> {
    const { index } = snapshot
    const expirySeconds = Math.max(index.expirySeconds, expiryOf(expiresAtMs))
    const isListed = field === null || index.itemIds.has(field)
    if (isListed && expirySeconds === index.expirySeconds) return index
    const fieldsLastLongEnough = expirySeconds <= index.fieldsExpirySeconds
    const next: Index = {
      state: 'live',
      expirySeconds,
      fieldsExpirySeconds: fieldsLastLongEnough
        ? index.fieldsExpirySeconds
        : expiryOf((expirySeconds + fieldsExpiryMarginSeconds) * 1000),
      itemIds: isListed ? index.itemIds : new Map([...index.itemIds, [field, randomId()]]),
    }
    if (!(await this.#putIndex(next, snapshot.ifIndexUnchanged))) return null
    if (!fieldsLastLongEnough) {
      await this.#extendFields([...index.itemIds.keys()], next.fieldsExpirySeconds)
    }
    return next
  }

  /**
   * Replaces the item of a field.
   * @returns false if the item has changed since the snapshot
   */
  async putField(
    { field, version, value }: DataWrite,
    index: Index,
    snapshot: Snapshot,
  ): Promise<boolean> {
    const condition = snapshot.ifFieldUnchanged.get(field) ?? 'absent'
    const expiry = index.fieldsExpirySeconds
    const itemId = index.itemIds.get(field) ?? ''
    const data = encodeField(itemId, version, value)
    const [stored, after] = await this.#send([
      put(this.#keyOf(field), { data, expiry, flags: flagsOf(itemId) }, condition),
      get(this.#indexKey),
    ])
    if (stored?.code !== 'HD') return false
    const { fieldsExpirySeconds } = indexOf(after)
    if (fieldsExpirySeconds > expiry) await this.#extendFields([field], fieldsExpirySeconds)
    return true
  }

  /** @returns false if the item of the field has changed since the snapshot */
  async removeField(field: string, snapshot: Snapshot): Promise<boolean> {
    const condition = snapshot.ifFieldUnchanged.get(field)
    const [reply] = await this.#send([remove(this.#keyOf(field), condition)])
    return reply?.code === 'HD'
  }

  /**
   * Ends all fields and overwrites their values.
   * @param expiry of the index that refuses writes; null to accept new writes
   */
  async end(expiry: ExpirySeconds | null): Promise<void> {
    const data = encodeIndex({ ...emptyIndex, state: 'ended' })
    const [before] = await this.#send([
      get(this.#indexKey),
      expiry === null ? remove(this.#indexKey) : put(this.#indexKey, { data, expiry }, 'any'),
    ])
    // Only items of the old index are overwritten: a new life of the owner may have begun. Retired,
    // not removed: a writer that read before the field existed must not take its absence for an
    // unchanged field.
    const items = await this.#peek(indexOf(before).itemIds)
    await this.#retire(items.filter(({ exists }) => exists))
  }

  /**
   * Takes fields without an item out of the index: they were removed or evicted. The item of such a field is
   * retired first. A writer that expected the field unchanged then fails, and a writer that finds the
   * retired item draws a new item id, which changes the index.
   */
  async removeMissing({ index, ifIndexUnchanged }: Snapshot): Promise<boolean> {
    const items = await this.#peek(index.itemIds)
    const [after] = await this.#send([peek(this.#indexKey)])
    // An item with another id may belong to a new life.
    if (!isSame(unchanged(after), ifIndexUnchanged)) return true
    const missing = items.filter(({ exists }) => !exists)
    const replies = await this.#retire(missing)
    const itemIds = new Map(index.itemIds)
    for (const [at, { field }] of missing.entries()) {
      if (replies[at]?.code === 'HD') itemIds.delete(field)
    }
    if (itemIds.size < index.itemIds.size) {
      await this.#putIndex({ ...index, itemIds }, ifIndexUnchanged)
    }
    return missing.length > 0
  }

  /**
   * Postpones the expiry of fields until it is that of the index. Other calls may set another expiry
   * at the same time; the index decides.
   */
  async #extendFields(
    fields: readonly string[],
    fieldsExpirySeconds: ExpirySeconds,
  ): Promise<void> {
    for (let expirySeconds = fieldsExpirySeconds; fields.length > 0; ) {
      const replies = await this.#send([
        ...fields.map((field) => touch(this.#keyOf(field), expirySeconds)),
        get(this.#indexKey),
      ])
      const index = indexOf(replies.at(-1))
      if (index.fieldsExpirySeconds <= expirySeconds) return
      expirySeconds = index.fieldsExpirySeconds
    }
  }

  #retire(items: readonly PeekedItem[]): Promise<readonly Reply[]> {
    return this.#send(
      items.map(({ key, itemId, ifUnchanged }) =>
        put(key, { data: encodeRetired(itemId), expiry: retiredForSeconds }, ifUnchanged),
      ),
    )
  }

  async #peek(itemIds: ReadonlyMap<string, string>): Promise<PeekedItem[]> {
    const items = [...itemIds].map(([field, itemId]) => ({
      field,
      itemId,
      key: this.#keyOf(field),
    }))
    const replies = await this.#send(items.map(({ key }) => peek(key)))
    return items.map((item, at) => ({
      ...item,
      exists: replies[at]?.flags.get('f') === String(flagsOf(item.itemId)),
      ifUnchanged: unchanged(replies[at]),
    }))
  }

  async #putIndex(index: Index, condition: Precondition): Promise<boolean> {
    const item = { data: encodeIndex(index), expiry: index.expirySeconds }
    const [reply] = await this.#send([put(this.#indexKey, item, condition)])
    return reply?.code === 'HD'
  }

  #keyOf(field: string): string {
    return fieldKeyOf(this.#indexKey, field)
  }
}

function indexOf(reply: Reply | undefined): Index {
  return (reply?.data && decodeIndex(reply.data)) ?? emptyIndex
}

/** The precondition that an item has not changed since a reply. */
function unchanged(reply: Reply | undefined): Precondition {
  const cas = reply?.flags.get('c')
  return cas === undefined ? 'absent' : { cas }
}

function isSame(one: Precondition, other: Precondition): boolean {
  return typeof one === 'object' && typeof other === 'object' && one.cas === other.cas
}
