import type { FastifyBaseLogger } from 'fastify'
import type { Audit } from '../issuer/audit.ts'
import type { Metrics } from './metrics.ts'

/** Audit events as log lines of their own kind, each counted too. */
export function auditTo(logger: FastifyBaseLogger, metrics: Metrics): Audit {
  return (event, fields) => {
    metrics.countEvent(event)
    logger.info({ audit: true, event, ...fields })
  }
}
