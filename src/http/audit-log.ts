import type { FastifyBaseLogger } from 'fastify'
import type { Audit } from '../issuer/audit.ts'
import type { Metrics } from './metrics.ts'

/**
 * Audit events as log lines of their own kind, each counted too.
 *
 * @param requestId of the request that they come from, if there is one
 */
export function auditTo(logger: FastifyBaseLogger, metrics: Metrics, requestId?: string): Audit {
  return (event, fields) => {
    metrics.countEvent(event)
    logger.info({ request_id: requestId, audit: true, event, ...fields })
  }
}
