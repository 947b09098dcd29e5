/** Every security event that is told to the audit log. Names are stable: people alert on them. */
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
  'session.ended',
  'key.created',
  'key.activated',
  'key.removed',
  'key.revoked',
] as const

export type AuditEvent = (typeof auditEvents)[number]

/** Ids and reasons only; never a name that a user typed (it may be a password), never a token. */
export interface AuditFields {
  readonly sub?: string
  readonly sid?: string
  readonly client_id?: string
  readonly kid?: string
  readonly reason?: string
  /** The network of a stranger, as CIDR. */
  readonly network?: string
  readonly count?: number
}

/** Where audit events go. The HTTP layer hands in one that knows the request. */
export type Audit = (event: AuditEvent, fields: AuditFields) => void
