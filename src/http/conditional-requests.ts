import { GatepassError } from '../core/errors.ts'
import type { Precondition } from '../data/owned-fields.ts'

interface ConditionalHeaders {
  readonly 'if-match'?: string | undefined
  readonly 'if-none-match'?: string | undefined
}

/** The entity tag of a version (RFC 9110 §8.8.3). */
export function entityTag(version: string): string {
  return `"${version}"`
}

/**
 * Reads `If-Match`, one strong tag or `*`, or `If-None-Match: *` (RFC 9110 §13.1). Of anything else
 * that is in them nothing is guessed: a change that its sender took for guarded must not be made.
 *
 * @throws `request_malformed`
 */
export function readPrecondition(headers: ConditionalHeaders): Precondition {
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = headers
  if (ifMatch !== undefined && ifNoneMatch !== undefined) {
    throw malformed('If-Match and If-None-Match exclude each other.')
  }
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch.trim() !== '*') throw malformed('Of a change, If-None-Match must be *.')
    return null
  }
  if (ifMatch === undefined) return undefined
  if (ifMatch.trim() === '*') return 'any'
  const [, version] = /^"([\x21\x23-\x7e]*)"$/.exec(ifMatch.trim()) ?? []
  if (version === undefined) throw malformed('If-Match must be one strong entity tag, or *.')
  return { version }
}

function malformed(detail: string): GatepassError {
  return new GatepassError('request_malformed', { detail })
}

/** Whether `If-None-Match` names this ETag: one of a list, compared weakly, or `*` (RFC 9110 §13.1.2). */
export function matches(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false
  const tags = ifNoneMatch.split(',').map((tag) => tag.trim())
  return tags.some((tag) => tag === '*' || tag === etag || tag === `W/${etag}`)
}
