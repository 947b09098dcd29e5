import type { JsonObject, JsonValue } from '../core/json.ts'
import { type SigningKey, signJwt } from './signing.ts'
import { isJsonObject, isNumericDate, parseStrictJson } from './strict-decoding.ts'

/** The subject of a revocation: a session, a user, everybody, or a signing key. */
export interface RevokedSubject {
  readonly kind: 'session' | 'user' | 'all' | 'key'
  /** The `sid`, `sub` or `kid`; '' for `all`. */
  readonly id: string
}

/** A revocation in the log of an issuer. */
export interface Revocation extends RevokedSubject {
  /**
   * Tokens signed until this time are revoked. For a key, all of its tokens are revoked, whatever
   * their `iat`.
   */
  readonly atMs: number
}

/** A revocation in the feed, which has times in seconds, as tokens do. */
export interface RevocationEntry extends RevokedSubject {
  readonly at_s: number
}

/** The `typ` of a security event token (RFC 8417 §2.3). */
export const securityEventType = 'secevent+jwt'
/** The `typ` of a snapshot. Specific to Gatepass. */
export const snapshotType = 'gatepass-revocations+jwt'
/** The event type of OpenID CAEP §3.1. */
const sessionRevokedEvent = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked'

/** Specific to Gatepass (RFC 8417 §2.2): no specification has an event for a compromised key. */
const keyRevokedEvent = 'urn:gatepass:secevent:key-revoked'

/** A place in the log, and the place before it: a follower that missed an event sees the gap. */
interface LogPosition {
  /** Position in the log, equal on every replica. It is the `jti` of the event. */
  readonly position: string
  /** Position of the previous entry; '' if unknown. */
  readonly previous: string
}

export interface RevocationEvent extends Revocation, LogPosition {
  /** When every token that it revokes has expired, by any clock. */
  readonly expiresAtMs: number
}

/** A verified event of the feed. */
export interface ReceivedEvent extends LogPosition {
  readonly entry: RevocationEntry
  /** Time for which the entry is kept, in seconds. */
  readonly kept_s: number
}

/** Signs a revocation as a security event token (RFC 8417). */
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
    kept_s: Math.ceil((event.expiresAtMs - event.atMs) / 1000),
    sub_id: subjectId(event, issuer),
    events: { [type]: { event_timestamp: Math.floor(event.atMs / 1000) } },
  }
  return signJwt(claims, securityEventType, key)
}

/** Formats the subject (RFC 9493). All tokens have the issuer as their tenant. */
function subjectId({ kind, id }: RevokedSubject, issuer: string): JsonObject {
  if (kind === 'key') return { format: 'opaque', id }
  if (kind === 'session') return { format: 'complex', session: { format: 'opaque', id } }
  if (kind === 'user') return { format: 'iss_sub', iss: issuer, sub: id }
  return { format: 'complex', tenant: { format: 'uri', uri: issuer } }
}

/** All revocations that can still concern a valid token. */
export interface RevocationSnapshot<Entry> {
  /** Position of the last entry; '' for an empty log. */
  readonly position: string
  readonly entries: readonly Entry[]
  /** Time for which an entry is kept, in seconds. */
  readonly kept_s: number
  /** When the issuer last read the log. Later revocations may be missing. */
  readonly readAt_s: number
}

/** Returns the latest time for each id, in seconds. */
function latestTimes(entries: readonly Revocation[]): JsonObject {
  const times = new Map<string, number>()
  for (const { id, atMs } of entries) {
    times.set(id, Math.max(times.get(id) ?? 0, Math.floor(atMs / 1000)))
  }
  return Object.fromEntries(times)
}

/** Signs a snapshot as a JWT. */
export function signRevocationSnapshot(
  { position, entries, kept_s, readAt_s }: RevocationSnapshot<Revocation>,
  issuer: string,
  iat: number,
  key: SigningKey,
): Promise<string> {
  const times = (kind: Revocation['kind']) =>
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
  return signJwt(claims, snapshotType, key)
}

/**
 * Reads the payload of a security event token (RFC 8417) with a valid signature.
 *
 * @throws Error for anything unknown: ignoring it could mean accepting a revoked token
 */
export function readRevocationEvent(payloadBytes: Buffer, issuer: string): ReceivedEvent {
  const claims = parseStrictJson(payloadBytes)
  if (!isJsonObject(claims)) throw new Error('its payload is not a JSON object')
  const { iss, iat, jti, previous, kept_s, sub_id, events } = claims
  if (iss !== issuer) throw new Error('its iss is not the issuer')
  if (!isTime(iat) || !isTime(kept_s) || !isPosition(jti) || jti === '' || !isPosition(previous)) {
    throw new Error('a claim is missing or invalid')
  }
  const [type, at_s] = readEventType(events)
  const subject = isJsonObject(sub_id) ? readSubject(sub_id, type, issuer) : null
  if (subject === null) throw new Error('its sub_id is not understood')
  return { position: jti, previous, kept_s, entry: { ...subject, at_s } }
}

function readEventType(events: JsonValue | undefined): [string, number] {
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

/** Reads a subject (RFC 9493). Rejects further members, which would narrow the subject. */
function readSubject(subject: JsonObject, type: string, issuer: string): RevokedSubject | null {
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

/** The members of a snapshot that list revocations, and the kind of their entries. */
const entryLists = { sessions: 'session', users: 'user', keys: 'key' } as const

const snapshotMembers = new Set([
  'iss',
  'iat',
  'read_at',
  'kept_s',
  'position',
  'all',
  ...Object.keys(entryLists),
])

/**
 * Reads the payload of a snapshot with a valid signature.
 *
 * @throws Error for anything unknown: ignoring it could mean accepting a revoked token
 */
export function readRevocationSnapshot(
  payloadBytes: Buffer,
  issuer: string,
): RevocationSnapshot<RevocationEntry> {
  const claims = parseStrictJson(payloadBytes)
  if (!isJsonObject(claims)) throw new Error('its payload is not a JSON object')
  if (claims.iss !== issuer) throw new Error('its iss is not the issuer')
  if (!Object.keys(claims).every((name) => snapshotMembers.has(name))) {
    throw new Error('a claim is not understood')
  }
  const { iat, read_at, kept_s, position, all } = claims
  if (!isTime(iat) || !isTime(read_at) || !isTime(kept_s) || !isPosition(position)) {
    throw new Error('a claim is missing or invalid')
  }
  const entries = Object.entries(entryLists).flatMap(([name, kind]) =>
    readEntries(kind, claims[name]),
  )
  if (isTime(all)) entries.push({ kind: 'all', id: '', at_s: all })
  else if (all !== null) throw new Error('the member all is invalid')
  return { position, readAt_s: read_at, kept_s, entries }
}

function readEntries(
  kind: RevocationEntry['kind'],
  list: JsonValue | undefined,
): RevocationEntry[] {
  if (!isJsonObject(list)) throw new Error(`the list of ${kind}s is invalid`)
  return Object.entries(list).map(([id, at_s]) => {
    if (!isId(id) || !isTime(at_s)) throw new Error(`an entry of the list of ${kind}s is invalid`)
    return { kind, id, at_s }
  })
}

const maxIdLength = 512
/** 9999-12-31T23:59:59Z. */
const maxTime_s = 253_402_300_799

function isTime(value: JsonValue | undefined): value is number {
  return isNumericDate(value) && value <= maxTime_s
}

/** The id of a session, a user or a key. */
function isId(value: JsonValue | undefined): value is string {
  return typeof value === 'string' && value !== '' && value.length <= maxIdLength
}

/** A position is short and printable ASCII, because it is sent as a header (`Last-Event-ID`). */
function isPosition(value: JsonValue | undefined): value is string {
  return typeof value === 'string' && /^[\x21-\x7e]{0,128}$/.test(value)
}
