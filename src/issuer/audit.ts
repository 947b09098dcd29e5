/** The security events of the audit log. Names are stable, because alerts match on them. */
export const auditEvents = [
  'login.ok',
  'login.failed',
  'login.throttled',
  'refresh.rotated',
  'refresh.replayed',
  'refresh.reused',
  'refresh.refused',
  'logout',
  'logout.all',
  'session.revoked',
  'consent.granted',
  'consent.withdrawn',
  'client.refused',
  'token.issued',
  'token.exchanged',
  'key.created',
  'key.activated',
  'key.removed',
  'key.revoked',
] as const

export type AuditEvent = (typeof auditEvents)[number]

/** Ids and reasons only: no token, and no name as typed, because it may be a password. */
export interface AuditFields {
  readonly sub?: string
  readonly sid?: string
  readonly client_id?: string
  readonly kid?: string
  readonly reason?: string
  /** The network of an unknown device, as CIDR. */
  readonly network?: string
  readonly count?: number
}

export type Audit = (event: AuditEvent, fields: AuditFields) => void

/** Services may cause these events thousands of times a second, so they are logged at `debug`. */
const frequentEvent: AuditEvent = 'token.issued'

interface AuditLogger {
  info(line: object): void
  debug(line: object): void
}

interface EventCounter {
  countEvent(event: AuditEvent): void
}

/**
 * Creates an audit log that writes one line per event and counts the event.
 *
 * @param requestId of the request that causes the events, if any
 */
export function createAudit(logger: AuditLogger, metrics: EventCounter, requestId?: string): Audit {
  return (event, fields) => {
    metrics.countEvent(event)
    const line = { request_id: requestId, audit: true, event, ...fields }
    if (event === frequentEvent) logger.debug(line)
    else logger.info(line)
  }
}
