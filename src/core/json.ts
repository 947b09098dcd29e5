/** A JSON value (RFC 8259). */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue }

export type JsonObject = { readonly [name: string]: JsonValue }

/**
 * Whether JSON represents a value without changing it. Members of objects may be undefined: JSON leaves
 * them out.
 *
 * @throws RangeError if the value is circular or nested too deeply
 */
export function isJsonValue(value: unknown): boolean {
  if (Array.isArray(value)) return Array.from(value).every(isJsonValue)
  if (isPlainObject(value)) {
    return Object.values(value).every((one) => one === undefined || isJsonValue(one))
  }
  if (typeof value === 'number') return Number.isFinite(value)
  return value === null || typeof value === 'string' || typeof value === 'boolean'
}

/** Whether a value is an object without a class, as JSON and object literals create them. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** Parses JSON. Returns undefined, which no schema accepts, if the text is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Escapes the name of a member within a JSON Pointer (RFC 6901 §3). */
export function escapePointer(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}

const stringHeaderBytes = 16
/** An object or an array without its members. */
const containerBytes = 64
const arrayMemberBytes = 8
const objectMemberBytes = 12

/** Estimates the size of parsed JSON on the heap. Names of members are shared. */
export function heapBytesOf(value: unknown): number {
  if (typeof value === 'string') return stringHeaderBytes + value.length
  if (typeof value !== 'object' || value === null) return 0
  const isArray = Array.isArray(value)
  const members: unknown[] = isArray ? value : Object.values(value)
  let bytes = containerBytes + members.length * (isArray ? arrayMemberBytes : objectMemberBytes)
  for (const member of members) bytes += heapBytesOf(member)
  return bytes
}
