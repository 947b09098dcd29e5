import type { DataWrite, Expected, StoredField } from '../data-store.ts'
import type { RedisReply } from './connection.ts'
import { endedMark } from './data-scripts.ts'

export type Fields = Map<string, StoredField>

/** As the scripts take it. */
export function expectation(expected: Expected): string {
  if (expected === undefined) return '*'
  return expected === null ? '' : `=${expected}`
}

/** The fields of a hash as Redis answers it: names and values by turns. */
export function fieldsOfHash(reply: RedisReply): Fields {
  const items = reply as readonly Buffer[]
  const fields: Fields = new Map()
  for (let at = 0; at + 1 < items.length; at += 2) {
    addField(fields, String(items[at]), items[at + 1] as Buffer)
  }
  return fields
}

/** Those fields that were asked for and are there. */
export function fieldsOfNames(names: readonly string[], values: readonly (Buffer | null)[]) {
  const fields: Fields = new Map()
  for (const [at, name] of names.entries()) {
    const bytes = values[at] ?? null
    if (bytes !== null) addField(fields, name, bytes)
  }
  return fields
}

// A field is its version, a zero byte, its value.

function addField(fields: Fields, name: string, bytes: Buffer): void {
  if (name === endedMark) return
  const end = bytes.indexOf(0)
  const version = bytes.toString('latin1', 0, end)
  fields.set(name, { version, value: bytes.subarray(end + 1) })
}

/** How long a field is that is to be stored. */
export function lengthOf({ version, value }: Pick<DataWrite, 'version' | 'value'>): number {
  return version.length + 1 + value.length
}

/** The fields that are to be stored, one after the other. */
export function bytesOf(writes: readonly Pick<DataWrite, 'version' | 'value'>[]): Buffer {
  const bytes = Buffer.allocUnsafe(writes.reduce((sum, write) => sum + lengthOf(write), 0))
  let at = 0
  for (const { version, value } of writes) {
    at += bytes.write(`${version}\0`, at, 'latin1')
    at += value.copy(bytes, at)
  }
  return bytes
}
