import type { JsonObject } from '../../core/json.ts'
import { decodeBase64url, isJsonObject, parseStrictJson } from '../../tokens/strict-decoding.ts'

/** What a text looks like, before anything of it is believed. */
export interface DecodedToken {
  /** How many parts it has between its dots: 3 when it is signed, 5 when it is encrypted. */
  readonly parts: number
  readonly header: JsonObject | null
  /** null for what is encrypted, or can't be read. */
  readonly claims: JsonObject | null
}

const partsMax = 6

export function decode(text: string): DecodedToken {
  const parts = text.split('.', partsMax)
  const [header = '', payload = ''] = parts
  return {
    parts: parts.length,
    header: readObject(header),
    claims: parts.length === 3 ? readObject(payload) : null,
  }
}

function readObject(part: string): JsonObject | null {
  const bytes = decodeBase64url(part)
  const value = bytes === null ? undefined : parseStrictJson(bytes)
  return isJsonObject(value) ? value : null
}
