import type { JsonObject, JsonValue } from '../core/json.ts'
import { type SigningKey, signCompact } from './signing.ts'
import { isJsonObject, parseStrictJson } from './strict-decoding.ts'

/** What was revoked: one session, all of a user, everything signed until then, or a signing key. */
export interface RevokedSubject {
  readonly kind: 'session' | 'user' | 'all' | 'key'
  /** The `sid`, `sub` or `kid`; '' when it is about everybody. */
  readonly id: string
  /**
   * Tokens that were signed until then have ended. With a key all of its tokens have, whatever they
   * say of themselves: whoever has it can sign for any time.
   */
  readonly atMs: number
}

/** What was revoked, as a feed tells it: times in seconds, as they are in tokens. */
export interface RevokedEntry {
  readonly kind: RevokedSubject['kind']
  /** The `sid`, `sub` or `kid`; '' when it is about everybody. */
  readonly id: string
  readonly at_s: number
}

/** The `typ` of a security event token (RFC 8417 §2.3). */
export const securityEventType = 'secevent+jwt'
/** The `typ` of our snapshot; of no other use. */
export const snapshotType = 'gatepass-revocations+jwt'
/** The event type of OpenID CAEP §3.1. */
export const sessionRevokedEvent =
  'https://schemas.openid.net/secevent/caep/event-type/session-revoked'

/** No specification has an event for a key that got out, so this type is ours (RFC 8417 §2.2). */
export const keyRevokedEvent = 'urn:gatepass:secevent:key-revoked'

export interface RevocationEvent extends RevokedSubject {
  /** Its place in the log; the `jti` too, as it names the event on every replica. */
  readonly position: string
  /** The place of the one before it, so that a follower knows that it missed none; '' if unknown. */
  readonly previous: string
}

/** One revocation as a signed security event token (RFC 8417). Times in seconds. */
export function signRevocationEvent(
  event: RevocationEvent,
  issuer: string,
  iat: number,
  key: SigningKey,
): Promise<string> {
  const type = event.kind === 'key' ? keyRevokedEvent : sessionRevokedEvent
  const claims: JsonObject = {
    iss: issuer,
    iat,
    jti: event.position,
    previous: event.previous,
    sub_id: subjectId(event, issuer),
    events: { [type]: { event_timestamp: Math.floor(event.atMs / 1000) } },
  }
  return signCompact(Buffer.from(JSON.stringify(claims)), securityEventType, key)
}

/** RFC 9493: the session, the user, the key, or the issuer as a whole. */
function subjectId({ kind, id }: RevokedSubject, issuer: string): JsonObject {
  if (kind === 'key') return { format: 'opaque', id }
  if (kind === 'session') return { format: 'complex', session: { format: 'opaque', id } }
  if (kind === 'user') return { format: 'iss_sub', iss: issuer, sub: id }
  return { format: 'complex', tenant: { format: 'uri', uri: issuer } }
}

export interface RevocationSnapshot {
  /** The last entry that it holds; '' for an empty log. */
  readonly position: string
  readonly entries: readonly RevokedSubject[]
  /** How long an entry matters after its time. */
  readonly kept_s: number
  /** When the log was last read: what was revoked later may be missing. */
  readonly readAt_s: number
}

/** When each was revoked, in seconds; of two entries the later time, whichever was noted first. */
function latestTimes(entries: readonly RevokedSubject[]): JsonObject {
  const times = new Map<string, number>()
  for (const { id, atMs } of entries) {
    times.set(id, Math.max(times.get(id) ?? 0, Math.floor(atMs / 1000)))
  }
  return Object.fromEntries(times)
}

/** All that is revoked and not yet expired, as one signed text. */
export function signRevocationSnapshot(
  { position, entries, kept_s, readAt_s }: RevocationSnapshot,
  issuer: string,
  iat: number,
  key: SigningKey,
): Promise<string> {
  const times = (kind: RevokedSubject['kind']) =>
    latestTimes(entries.filter((entry) => entry.kind === kind))
  const claims: JsonObject = {
    iss: issuer,
    iat,
    read_at: readAt_s,
    kept_s,
    position,
    sessions: times('session'),
    users: times('user'),
    keys: times('key'),
    all: times('all')[''] ?? null,
  }
  return signCompact(Buffer.from(JSON.stringify(claims)), snapshotType, key)
}

/** One step of the log. */
export interface FollowedEvent {
  readonly position: string
  /** The step before it. */
  readonly previous: string
  readonly entry: RevokedEntry
}

/**
 * Reads the payload of a security event token (RFC 8417) whose signature was found good. One that is
 * not understood is refused: to leave it out would be to accept what it revokes.
 *
 * @throws Error
 */
export function readEvent(payloadBytes: Buffer, issuer: string): FollowedEvent {
  const claims = parseStrictJson(payloadBytes)
  if (!isJsonObject(claims)) throw new Error('its payload is not a JSON object')
  const { iss, iat, jti, previous, sub_id, events } = claims
  if (iss !== issuer) throw new Error('its iss is another issuer')
  if (!isTime(iat) || !isPosition(jti) || jti === '' || !isPosition(previous)) {
    throw new Error('a claim is missing or of the wrong form')
  }
  const [type, at_s] = readType(events)
  const subject = isJsonObject(sub_id) ? readSubject(sub_id, type, issuer) : null
  if (subject === null) throw new Error('its sub_id is not understood')
  return { position: jti, previous, entry: { ...subject, at_s } }
}

function readType(events: JsonValue | undefined): [string, number] {
  const [first, ...others] = isJsonObject(events) ? Object.entries(events) : []
  if (first === undefined || others.length > 0) throw new Error('it does not hold one event')
  const [type, event] = first
  if (type !== sessionRevokedEvent && type !== keyRevokedEvent) {
    throw new Error('its event is not understood')
  }
  if (!isJsonObject(event) || !isTime(event.event_timestamp)) {
    throw new Error('its event has no acceptable time')
  }
  return [type, event.event_timestamp]
}

/** RFC 9493. Exactly what an issuer writes: more would be a narrower subject than the one we see. */
function readSubject(
  subject: JsonObject,
  type: string,
  issuer: string,
): Pick<RevokedEntry, 'kind' | 'id'> | null {
  const { format, id, iss, sub, session, tenant } = subject
  const size = Object.keys(subject).length
  if (type === keyRevokedEvent) {
    return format === 'opaque' && size === 2 && isId(id) ? { kind: 'key', id } : null
  }
  if (format === 'iss_sub') {
    return size === 3 && iss === issuer && isId(sub) ? { kind: 'user', id: sub } : null
  }
  if (format !== 'complex' || size !== 2) return null
  if (isJsonObject(session) && session.format === 'opaque' && isId(session.id)) {
    return { kind: 'session', id: session.id }
  }
  const isIssuer = isJsonObject(tenant) && tenant.format === 'uri' && tenant.uri === issuer
  return isIssuer ? { kind: 'all', id: '' } : null
}

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

const positionLengthMax = 128
const idLengthMax = 512
/** 9999-12-31: what is later is no time that anybody meant. */
const time_sMax = 253_402_300_799

/** A NumericDate (RFC 7519 §2) in whole seconds. */
export function isTime(value: JsonValue | undefined): value is number {
  return (
    typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= time_sMax
  )
}

/** The id of a session, a user or a key. */
export function isId(value: JsonValue | undefined): value is string {
  return typeof value === 'string' && value !== '' && value.length <= idLengthMax
}

/** A place in the log: it goes into a header (`Last-Event-ID`), so it is printable ASCII. */
export function isPosition(value: JsonValue | undefined): value is string {
  if (typeof value !== 'string' || value.length > positionLengthMax) return false
  for (let at = 0; at < value.length; at += 1) {
    const code = value.charCodeAt(at)
    if (code <= 0x20 || code >= 0x7f) return false
  }
  return true
}
