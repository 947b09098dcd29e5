import type { JsonObject, JsonValue } from '../../core/json.ts'
import { isJsonObject, parseStrictJson } from '../../tokens/json.ts'
import { keyRevokedEvent, sessionRevokedEvent } from '../../tokens/revocations.ts'
import { isId, isPosition, isTime } from './forms.ts'
import type { RevokedEntry } from '../../tokens/revocations.ts'

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
