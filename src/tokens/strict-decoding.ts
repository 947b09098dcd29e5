import { isUtf8 } from 'node:buffer'
import { type JsonObject, type JsonValue, parseJson } from '../core/json.ts'

/** Deepest accepted nesting of objects and arrays. Access tokens need 2. */
const maxDepth = 16

const quote = 0x22
const colon = 0x3a
const backslash = 0x5c

/**
 * Parses JSON, and rejects what two parsers may read in two ways: bytes that are not UTF-8, and an
 * object with a duplicate member (RFC 7515 §4, RFC 7519 §4). Rejects deep nesting, too.
 *
 * A number too large for a double is Infinity, as in JSON.parse; the caller checks it.
 *
 * @returns undefined for rejected bytes. Never throws: a syntax error would quote the text in a log.
 */
export function parseStrictJson(bytes: Buffer): JsonValue | undefined {
  if (!isUtf8(bytes)) return undefined
  // A byte order mark stays in the text, where JSON.parse refuses it (RFC 8259 §8.1).
  const text = bytes.toString()
  const value = parseJson(text) as JsonValue | undefined
  // The parser keeps the last of two members of one name, so the value has fewer than the text.
  const isUnique = value !== undefined && countMembers(value) === countMembersInText(text)
  return isUnique ? value : undefined
}

const byteOrderMark = Buffer.from('\ufeff')

/** Removes the byte order mark that editors on Windows put at the start of a file. */
export function withoutByteOrderMark(bytes: Buffer): Buffer {
  return bytes.indexOf(byteOrderMark) === 0 ? bytes.subarray(byteOrderMark.length) : bytes
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Tells whether a value is a NumericDate (RFC 7519 §2) in whole seconds. */
export function isNumericDate(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

/** Tells whether a value is a NumericDate (RFC 7519 §2), which may have a fraction. */
export function isFractionalDate(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER
}

/** Counts the members of all objects in a value. Infinity, which equals no count, if too deep. */
function countMembers(value: JsonValue, depth = 0): number {
  if (typeof value !== 'object' || value === null) return 0
  if (depth === maxDepth) return Number.POSITIVE_INFINITY
  let count = 0
  if (Array.isArray(value)) {
    for (const child of value) count += countMembers(child, depth + 1)
    return count
  }
  for (const name of Object.keys(value)) {
    const child = (value as JsonObject)[name]
    count += 1
    if (typeof child === 'object') count += countMembers(child, depth + 1)
  }
  return count
}

/** Counts the members in valid JSON: the colons outside strings. */
function countMembersInText(text: string): number {
  let count = 0
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code === colon) count += 1
    else if (code === quote) at = endOfString(text, at)
  }
  return count
}

/** Finds the closing quote of a string in valid JSON. */
function endOfString(text: string, start: number): number {
  let end = start
  do end = text.indexOf('"', end + 1)
  while (isEscaped(text, end))
  return end
}

/** Tells whether an odd number of backslashes precedes a character of a string. */
function isEscaped(text: string, at: number): boolean {
  let before = at - 1
  while (text.charCodeAt(before) === backslash) before -= 1
  return (at - before) % 2 === 0
}

/**
 * Decodes canonical base64url (RFC 4648 §5): no padding, no white space, unused bits zero.
 *
 * @returns null for any other value, so that no two texts decode to the same bytes
 */
export function decodeBase64url(text: unknown): Buffer | null {
  if (typeof text !== 'string') return null
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? bytes : null
}

/** Returns how many characters without padding (RFC 7515 §2) encode this many bytes. */
export function base64urlLength(bytes: number): number {
  return Math.ceil((bytes * 4) / 3)
}

/** Copies a text of ASCII. A slice would keep the whole original text in memory. */
export function copyOf(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1')
}
