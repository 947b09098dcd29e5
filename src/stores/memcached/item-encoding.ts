import { digest, digestText } from '../../core/secrets.ts'
import type { DataOwner, StoredField } from '../data-store.ts'
import type { ExpirySeconds } from './protocol.ts'

/** The index of an owner: one item that lists the owner's fields. */
export interface Index {
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

export const emptyIndex: Index = {
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
export function flagsOf(itemId: string): number {
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
