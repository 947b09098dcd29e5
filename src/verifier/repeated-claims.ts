import type { JsonObject, JsonValue } from '../core/json.ts'

/** The claims that many tokens have alike. */
const names = ['iss', 'aud', 'client_id', 'scope', 'amr'] as const
/** More values than this are not all alike, whatever is in them. */
const valuesMax = 256
const lengthMax = 512

const texts = new Map<string, string>()
/** By their JSON. */
const lists = new Map<string, JsonValue>()

/** Has claims of one value share it, so that it is in memory once and not with each token. */
export function shareRepeated(claims: JsonObject): void {
  for (const name of names) {
    const value = claims[name]
    if (value !== undefined) (claims as Record<string, JsonValue>)[name] = sharedOf(value)
  }
}

function sharedOf(value: JsonValue): JsonValue {
  if (typeof value === 'string') return firstEqual(texts, value, value)
  return firstEqual(lists, JSON.stringify(value), value)
}

function firstEqual<V>(seen: Map<string, V>, text: string, value: V): V {
  if (text.length > lengthMax) return value
  const known = seen.get(text)
  if (known !== undefined) return known
  if (seen.size >= valuesMax) seen.clear()
  seen.set(text, value)
  return value
}
