import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

/** W3C Trace Context, version 00: `00-<trace id>-<parent id>-<flags>`. */
const traceparent = /^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/
const zeroTrace = '0'.repeat(32)
/** Narrow on purpose: no token of ours is of this form, so none reaches a log by this way. */
const plainId = /^[A-Za-z0-9_-]{8,64}$/

/** The id that ties a request's log lines together: the caller's, where it has a sound one. */
export function requestIdOf(request: Pick<IncomingMessage, 'headers'>): string {
  const trace = request.headers.traceparent
  if (typeof trace === 'string') {
    const id = traceparent.exec(trace)?.[1]
    if (id !== undefined && id !== zeroTrace) return id
  }
  const given = request.headers['x-request-id']
  if (typeof given === 'string' && plainId.test(given)) return given
  return randomUUID()
}
