import type { JsonValue } from '../../core/json.ts'
import { isJsonObject, parseStrictJson } from '../../tokens/json.ts'
import { isId, isPosition, isTime } from './forms.ts'
import type { RevokedEntry } from '../../tokens/revocations.ts'

export interface FollowedSnapshot {
  /** The last step of the log that it holds. */
  readonly position: string
  /** When the issuer last read the log. */
  readonly readAt_s: number
  /** How long an entry matters after its time. */
  readonly kept_s: number
  readonly entries: readonly RevokedEntry[]
}

const lists = { sessions: 'session', users: 'user', keys: 'key' } as const

const members = new Set([
  'iss',
  'iat',
  'read_at',
  'kept_s',
  'position',
  'all',
  ...Object.keys(lists),
])

/**
 * Reads the payload of a snapshot whose signature was found good. A member that is not understood
 * has it refused: to leave it out would be to accept what it revokes.
 *
 * @throws Error
 */
export function readSnapshot(payloadBytes: Buffer, issuer: string): FollowedSnapshot {
  const claims = parseStrictJson(payloadBytes)
  if (!isJsonObject(claims)) throw new Error('its payload is not a JSON object')
  if (claims.iss !== issuer) throw new Error('its iss is another issuer')
  if (!Object.keys(claims).every((name) => members.has(name))) {
    throw new Error('a claim is not understood')
  }
  const { iat, read_at, kept_s, position, all } = claims
  if (!isTime(iat) || !isTime(read_at) || !isTime(kept_s) || !isPosition(position)) {
    throw new Error('a claim is missing or of the wrong form')
  }
  const entries: RevokedEntry[] = []
  for (const [name, kind] of Object.entries(lists)) addAll(entries, kind, claims[name])
  if (isTime(all)) entries.push({ kind: 'all', id: '', at_s: all })
  else if (all !== null) throw new Error('all is of the wrong form')
  return { position, readAt_s: read_at, kept_s, entries }
}

function addAll(
  entries: RevokedEntry[],
  kind: RevokedEntry['kind'],
  list: JsonValue | undefined,
): void {
  if (!isJsonObject(list)) throw new Error(`the list of each ${kind} is of the wrong form`)
  for (const [id, at_s] of Object.entries(list)) {
    if (!isId(id) || !isTime(at_s)) throw new Error(`an entry of a ${kind} is of the wrong form`)
    entries.push({ kind, id, at_s })
  }
}
