import type { JsonObject } from '../core/json.ts'
import { type SigningKey, signCompact } from './sign.ts'

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
