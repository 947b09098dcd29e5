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

/**
 * Parses JSON, also where JSON.parse misreads a name. Returns undefined, which no schema accepts, if the
 * text is not JSON.
 */
export function parseJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text)
    return hasMisreadName(value, text) ? parseNumbered(text) : value
  } catch {
    return undefined
  }
}

/** Finds the strings in valid JSON. The second group exists for names only. */
const strings = /("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?/g

/**
 * Tells whether JSON.parse has misread a name. After a member `\\u0`, Node 24 takes `\u0063nf` at the same place for
 * the same name, because it compares before it decodes the escape. A misread name has a backslash.
 */
function hasMisreadName(value: unknown, text: string): boolean {
  if (!text.includes('\\')) return false
  const read = objectsIn(value).flatMap(Object.keys)
  if (!read.some((name) => name.includes('\\'))) return false
  const found = [...text.matchAll(strings)]
  const names = found.flatMap(([, name = '', isName]) => (isName ? String(JSON.parse(name)) : []))
  // All names are compared: a misread name may replace another name of its object.
  return JSON.stringify(read.sort()) !== JSON.stringify(names.sort())
}

/** Lists the objects in parsed JSON, at every depth. */
export function objectsIn(value: unknown): Record<string, unknown>[] {
  // A recursion would end at a value that is nested too deeply.
  const found = [value]
  for (const one of found) {
    if (typeof one !== 'object' || one === null) continue
    for (const member of Object.values(one)) found.push(member)
  }
  return found.filter(isPlainObject)
}

/** Parses valid JSON: numbers, which cannot be misread, replace the names meanwhile. */
function parseNumbered(text: string): unknown {
  const names: string[] = []
  const numbered = text.replace(strings, (found, name: string, isName?: string) =>
    isName ? `"${names.push(JSON.parse(name)) - 1}":` : found,
  )
  return JSON.parse(numbered, (_at, value: unknown) => {
    if (!isPlainObject(value)) return value
    return Object.fromEntries(
      Object.entries(value).map(([at, member]) => [names[Number(at)] ?? '', member]),
    )
  })
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
