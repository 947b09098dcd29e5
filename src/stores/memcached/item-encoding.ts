import { digest, randomId } from '../../core/secrets.ts'
import type { DataOwner, StoredField } from '../data-store.ts'
import type { Expiry_s } from './commands.ts'

/** What is known of an owner: one item, its index. */
export interface Index {
  readonly state: 'live' | 'ended'
  /** When all data goes. */
  readonly expiry_s: Expiry_s
  /** When the items of the fields go, no sooner: they need not be touched as long as that suffices. */
  readonly fieldsExpiry_s: Expiry_s
  /** The random slot of each field's name: an item with another slot is of an earlier life. */
  readonly slots: ReadonlyMap<string, string>
}

export const noIndex: Index = {
  state: 'live',
  expiry_s: 0,
  fieldsExpiry_s: 0,
  slots: new Map(),
}

interface Place {
  readonly hash: Buffer
  readonly indexKey: string
}

/**
 * The digest that says which node an owner is on, and the key of its index: safe characters and
 * always of one length, whatever the id.
 */
export function placeOf({ scope, id }: DataOwner): Place {
  const hash = digest(`${scope}\0${id}`)
  return { hash, indexKey: `gp:i:${hash.toString('base64url')}` }
}

/** The key of a field, alike. */
export function fieldKeyOf(indexKey: string, field: string): string {
  return `gp:f:${digest(`${indexKey} ${field}`).toString('base64url')}`
}

export const newSlot = randomId

/** 32 bits of a slot, kept as client flags, by which a field is recognised without its value. */
export function flagsOf(slot: string): number {
  return Buffer.from(slot, 'base64url').readUInt32BE(0)
}

// An index is text: its state and times, then a line for each field. Names have no spaces.

export function encodeIndex({ state, expiry_s, fieldsExpiry_s, slots }: Index): Buffer {
  const lines = [...slots].map(([field, slot]) => `\n${field} ${slot}`)
  return Buffer.from(`${state} ${expiry_s} ${fieldsExpiry_s}${lines.join('')}`)
}

/** null for what is not an index. */
export function decodeIndex(data: Buffer): Index | null {
  const [head = '', ...lines] = data.toString().split('\n')
  const [, state, expiry, fieldsExpiry] = /^(live|ended) (\d{1,10}) (\d{1,10})$/.exec(head) ?? []
  const slots = lines.map((line) => /^([^ ]+) ([\w-]{22})$/.exec(line))
  if (state === undefined || slots.includes(null)) return null
  return {
    state: state as Index['state'],
    expiry_s: Number(expiry),
    fieldsExpiry_s: Number(fieldsExpiry),
    slots: new Map(slots.map((found) => [found?.[1] ?? '', found?.[2] ?? ''])),
  }
}

// A field is its slot, its version, a zero byte, its value; of a retired slot there is no more than it.

export function encodeField(slot: string, version: string, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${slot}${version}\0`, 'latin1'), value])
}

export function encodeRetired(slot: string): Buffer {
  return Buffer.from(slot, 'latin1')
}

/** null when it is of another slot. */
export function decodeField(data: Buffer, slot: string): StoredField | 'retired' | null {
  if (data.toString('latin1', 0, slot.length) !== slot) return null
  if (data.length === slot.length) return 'retired'
  const end = data.indexOf(0, slot.length)
  if (end === -1) return null
  return { version: data.toString('latin1', slot.length, end), value: data.subarray(end + 1) }
}

/** memcached takes less for a time from now on. */
const expiryMin_s = 30 * 24 * 3600 + 1
/** It counts in 32 bits with a sign. */
const expiryMax_s = 2 ** 31 - 1

/** Rounded up to the whole second that memcached counts in. */
export function expiryOf(timeMs: number): Expiry_s {
  return Math.min(expiryMax_s, Math.max(expiryMin_s, Math.ceil(timeMs / 1000)))
}
