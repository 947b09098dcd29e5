import type { StoredField } from '../data-store.ts'
import { type Expiry_s, get, type Precondition, peek, put, remove, touch } from './commands.ts'
import {
  decodeField,
  decodeIndex,
  encodeIndex,
  encodeRetired,
  expiryOf,
  fieldKeyOf,
  flagsOf,
  type Index,
  newSlot,
  noIndex,
} from './item-encoding.ts'
import type { Exchanger } from './node.ts'
import type { Reply } from './protocol.ts'

/** What the items of an owner were when they were read. */
export interface Found {
  /** Without the slots that are known to be retired. */
  readonly index: Index
  /** For a change of the index: that it is as it was. */
  readonly indexIs: Precondition
  /** The fields that were asked for and that are there. */
  readonly fields: ReadonlyMap<string, StoredField>
  /** For a change of a field's item, which may be there without being of use. */
  readonly fieldIs: ReadonlyMap<string, Precondition>
}

/** A field of the index, as far as can be told without its value. */
interface Peeked {
  readonly field: string
  readonly slot: string
  readonly key: string
  readonly isThere: boolean
  readonly is: Precondition
}

/** Items of fields last longer than the index by so much: not every touch needs to reach them. */
const fieldsExpiryMargin_s = 600
/** Longer than any command may be on its way. */
const retiredFor_s = 60

/** The items of one owner, as one call sees them: an index, and one for each field. */
export class OwnedItems {
  readonly #exchange: Exchanger
  readonly #indexKey: string

  constructor(exchange: Exchanger, indexKey: string) {
    this.#exchange = exchange
    this.#indexKey = indexKey
  }

  /**
   * The index and some fields in one round trip. The index comes last: a field whose slot it names was
   * there when it was read, and who finds none because all has ended learns that too.
   */
  async read(fields: readonly string[]): Promise<Found> {
    const replies = await this.#exchange([
      ...fields.map((field) => get(this.#keyOf(field))),
      get(this.#indexKey),
    ])
    const last = replies.at(-1)
    const index = indexOf(last)
    const slots = new Map(index.slots)
    const found = new Map<string, StoredField>()
    for (const [at, field] of fields.entries()) {
      const slot = slots.get(field)
      const data = replies[at]?.data ?? null
      if (slot === undefined || data === null) continue
      const stored = decodeField(data, slot)
      if (stored === 'retired') slots.delete(field)
      else if (stored !== null) found.set(field, stored)
    }
    const fieldIs = new Map(fields.map((field, at) => [field, unchanged(replies[at])]))
    return { index: { ...index, slots }, indexIs: unchanged(last), fields: found, fieldIs }
  }

  /** All fields: those of the index, if that names no more by then. Two round trips. */
  async readAll(): Promise<Found> {
    let fields: readonly string[] = []
    for (;;) {
      const found = await this.read(fields)
      const names = [...found.index.slots.keys()]
      if (names.every((name) => fields.includes(name))) return found
      fields = names
    }
  }

  /**
   * Puts a field, or none, into the index, and its expiry off.
   * @returns the index as it is now; null when it has changed meanwhile
   */
  async extend(found: Found, expiresAtMs: number, field: string | null): Promise<Index | null> {
    const { index } = found
    const expiry_s = Math.max(index.expiry_s, expiryOf(expiresAtMs))
    const isListed = field === null || index.slots.has(field)
    if (isListed && expiry_s === index.expiry_s) return index
    const reachesFields = expiry_s <= index.fieldsExpiry_s
    const next: Index = {
      state: 'live',
      expiry_s,
      fieldsExpiry_s: reachesFields
        ? index.fieldsExpiry_s
        : expiryOf((expiry_s + fieldsExpiryMargin_s) * 1000),
      slots: isListed ? index.slots : new Map([...index.slots, [field, newSlot()]]),
    }
    if (!(await this.#putIndex(next, found.indexIs))) return null
    if (!reachesFields) await this.extendFields([...index.slots.keys()], next.fieldsExpiry_s)
    return next
  }

  /**
   * Puts the expiry of fields off, until it is what the index says. Another call may do the same with
   * another time, and the items show no order; the index does.
   */
  async extendFields(fields: readonly string[], fieldsExpiry_s: Expiry_s): Promise<void> {
    for (let expiry_s = fieldsExpiry_s; fields.length > 0; ) {
      const replies = await this.#exchange([
        ...fields.map((field) => touch(this.#keyOf(field), expiry_s)),
        get(this.#indexKey),
      ])
      const index = indexOf(replies.at(-1))
      if (index.fieldsExpiry_s <= expiry_s) return
      expiry_s = index.fieldsExpiry_s
    }
  }

  /**
   * Puts a field's item in the place of the one that was found.
   * @returns whether it was still that one
   */
  async putField(field: string, data: Buffer, index: Index, found: Found): Promise<boolean> {
    const on = found.fieldIs.get(field) ?? 'absent'
    const expiry = index.fieldsExpiry_s
    const flags = flagsOf(index.slots.get(field) ?? '')
    const [stored, after] = await this.#exchange([
      put(this.#keyOf(field), { data, expiry, flags }, on),
      get(this.#indexKey),
    ])
    if (stored?.code !== 'HD') return false
    const { fieldsExpiry_s } = indexOf(after)
    if (fieldsExpiry_s > expiry) await this.extendFields([field], fieldsExpiry_s)
    return true
  }

  /** @returns whether the field was still the one that was found, and is gone */
  async removeField(field: string, found: Found): Promise<boolean> {
    const [reply] = await this.#exchange([remove(this.#keyOf(field), found.fieldIs.get(field))])
    return reply?.code === 'HD'
  }

  /**
   * Ends all fields, and wipes their values out.
   * @param expiry of the mark that refuses writes; null for no mark
   */
  async end(expiry: Expiry_s | null): Promise<void> {
    const data = encodeIndex({ ...noIndex, state: 'ended' })
    const [before] = await this.#exchange([
      get(this.#indexKey),
      expiry === null ? remove(this.#indexKey) : put(this.#indexKey, { data, expiry }, 'any'),
    ])
    const { slots } = indexOf(before)
    // Not those of a new life, which may have begun; nor just removed, or who found no field before
    // there was this one would take its end for that.
    await this.#retireSlots((await this.#peek(slots)).filter(({ isThere }) => isThere))
  }

  /**
   * Takes names without fields out of the index: those of fields that were removed or dropped. A
   * writer may be about to write such a field, so its slot is retired first, by an item that says so.
   * Who expected the field as it was is late then, and who finds it retired draws another slot: that
   * changes the index, so that the name stays in.
   *
   * @returns whether there was any, or something has changed meanwhile
   */
  async retire({ index, indexIs }: Found): Promise<boolean> {
    const peeked = await this.#peek(index.slots)
    const [after] = await this.#exchange([peek(this.#indexKey)])
    // An item of another slot may be that of a new life.
    if (!isSame(unchanged(after), indexIs)) return true
    const gone = peeked.filter(({ isThere }) => !isThere)
    const outcomes = await this.#retireSlots(gone)
    const slots = new Map(index.slots)
    for (const [at, { field }] of gone.entries()) {
      if (outcomes[at]?.code === 'HD') slots.delete(field)
    }
    if (slots.size < index.slots.size) await this.#putIndex({ ...index, slots }, indexIs)
    return gone.length > 0
  }

  /** Replaces items as they were peeked at. */
  #retireSlots(items: readonly Peeked[]): Promise<readonly Reply[]> {
    return this.#exchange(
      items.map(({ key, slot, is }) =>
        put(key, { data: encodeRetired(slot), expiry: retiredFor_s }, is),
      ),
    )
  }

  /** Whether there is an item of each slot, and which. */
  async #peek(slots: ReadonlyMap<string, string>): Promise<Peeked[]> {
    const names = [...slots].map(([field, slot]) => ({ field, slot, key: this.#keyOf(field) }))
    const replies = await this.#exchange(names.map(({ key }) => peek(key)))
    return names.map((name, at) => ({
      ...name,
      isThere: replies[at]?.flags.get('f') === String(flagsOf(name.slot)),
      is: unchanged(replies[at]),
    }))
  }

  async #putIndex(index: Index, on: Precondition): Promise<boolean> {
    const item = { data: encodeIndex(index), expiry: index.expiry_s }
    const [reply] = await this.#exchange([put(this.#indexKey, item, on)])
    return reply?.code === 'HD'
  }

  #keyOf(field: string): string {
    return fieldKeyOf(this.#indexKey, field)
  }
}

function indexOf(reply: Reply | undefined): Index {
  return (reply?.data && decodeIndex(reply.data)) ?? noIndex
}

function unchanged(reply: Reply | undefined): Precondition {
  const cas = reply?.flags.get('c')
  return cas === undefined ? 'absent' : { cas }
}

function isSame(one: Precondition, other: Precondition): boolean {
  return typeof one === 'object' && typeof other === 'object' && one.cas === other.cas
}
