import type { JsonObject, JsonValue } from '../core/json.ts'

/** Objects and arrays within one another, at most. Our own tokens need 2. */
const maxDepth = 16

// ignoreBOM leaves a byte order mark in the text, where JSON.parse refuses it (RFC 8259 §8.1).
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const quote = 0x22
const colon = 0x3a
const backslash = 0x5c

/**
 * Reads JSON as JSON.parse does, but refuses what two readers may understand in two ways: bytes
 * that are not UTF-8, and an object with a member given twice (RFC 7515 §4, RFC 7519 §4). Refuses
 * deep nesting too. Returns undefined for what it refuses, and never throws: the message of a
 * syntax error quotes the text, which must not reach a log.
 *
 * A number too large for a double is Infinity, as in JSON.parse; who expects a number checks it.
 */
export function parseStrictJson(bytes: Uint8Array): JsonValue | undefined {
  try {
    const text = utf8.decode(bytes)
    const value: JsonValue = JSON.parse(text)
    // JSON.parse keeps the last of two members of one name, so what it kept is fewer than written.
    return countMembers(value, 0) === countMembersWritten(text) ? value : undefined
  } catch {
    return undefined
  }
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** How many members a value holds, at all levels. Infinity, which equals no count, if too deep. */
function countMembers(value: JsonValue, depth: number): number {
  if (typeof value !== 'object' || value === null) return 0
  if (depth === maxDepth) return Number.POSITIVE_INFINITY
  const children: readonly JsonValue[] = Object.values(value)
  let count = Array.isArray(value) ? 0 : children.length
  for (const child of children) count += countMembers(child, depth + 1)
  return count
}

/** How many members were written: in valid JSON, one for each colon outside a string. */
function countMembersWritten(text: string): number {
  let count = 0
  let inString = false
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code === quote) inString = !inString
    else if (code === backslash) at += 1
    else if (code === colon && !inString) count += 1
  }
  return count
}
