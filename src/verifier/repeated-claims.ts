import type { JsonValue } from '../core/json.ts'
import type { AccessTokenClaims } from '../tokens/claims.ts'

/** More values than this are not all alike, whatever is in them. */
const valuesMax = 256
const lengthMax = 512

const texts = new Map<string, JsonValue>()
/** By their JSON. */
const lists = new Map<string, JsonValue>()

/** Has claims of one value share it, so that it is in memory once and not with each token. */
export function shareRepeated(claims: { -readonly [N in keyof AccessTokenClaims]: JsonValue }) {
  claims.iss = iss.sharedOf(claims.iss)
  claims.aud = aud.sharedOf(claims.aud)
  claims.client_id = clientId.sharedOf(claims.client_id)
  if (claims.scope !== undefined) claims.scope = scope.sharedOf(claims.scope)
  if (claims.amr !== undefined) claims.amr = amr.sharedOf(claims.amr)
}

/** A claim that many tokens have alike. */
class RepeatedClaim {
  /** Of the token before: most often it is that of the next one too, and need not be looked up. */
  #last: JsonValue = null

  sharedOf(value: JsonValue): JsonValue {
    if (!isSame(value, this.#last)) this.#last = firstEqual(value)
    return this.#last
  }
}

const [iss, aud, clientId] = [new RepeatedClaim(), new RepeatedClaim(), new RepeatedClaim()]
const [scope, amr] = [new RepeatedClaim(), new RepeatedClaim()]

function isSame(value: JsonValue, last: JsonValue): boolean {
  if (value === last) return true
  if (!Array.isArray(value) || !Array.isArray(last) || value.length !== last.length) return false
  return value.every((one, at) => one === last[at])
}

function firstEqual(value: JsonValue): JsonValue {
  const [seen, text] = typeof value === 'string' ? [texts, value] : [lists, JSON.stringify(value)]
  if (text.length > lengthMax) return value
  const known = seen.get(text)
  if (known !== undefined) return known
  if (seen.size >= valuesMax) seen.clear()
  seen.set(text, value)
  return value
}
