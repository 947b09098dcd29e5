import { GatepassError } from '../core/errors.ts'
import { anyVersion, type Expected } from '../data/owned-fields.ts'

interface ConditionalHeaders {
  readonly 'if-match'?: string | undefined
  readonly 'if-none-match'?: string | undefined
}

/** Returns the entity tag of a version (RFC 9110 §8.8.3). */
export function entityTag(version: string): string {
  return `"${version}"`
}

/** Tells whether `If-None-Match` matches an ETag, by weak comparison (RFC 9110 §13.1.2). */
export function matchesETag(ifNoneMatch: string | undefined, etag: string): boolean {
  const strong = etag.replace(/^W\//, '')
  return ifNoneMatch !== undefined && names(ifNoneMatch, [strong, `W/${strong}`])
}

/**
 * Checks the `If-Match` of a read, by strong comparison (RFC 9110 §13.1.1).
 *
 * @throws `data_conflict` if the header does not name this ETag
 */
export function checkIfMatch(ifMatch: string | undefined, etag: string): void {
  if (ifMatch !== undefined && !names(ifMatch, [etag])) throw new GatepassError('data_conflict')
}

/** Whether a list of entity tags, or `*`, names one of these. Our tags contain no comma. */
function names(list: string, tags: readonly string[]): boolean {
  return list.trim() === '*' || list.split(',').some((one) => tags.includes(one.trim()))
}

/**
 * Reads the precondition of a change: `If-Match` with one strong tag or `*`, or `If-None-Match: *`
 * (RFC 9110 §13.1). Any other value is refused: ignoring it would make an unguarded change.
 *
 * @throws `request_malformed`
 */
export function readPrecondition(headers: ConditionalHeaders): Expected {
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = headers
  if (ifMatch !== undefined && ifNoneMatch !== undefined) {
    throw malformed('Send either If-Match or If-None-Match, not both.')
  }
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch.trim() !== '*') throw malformed('The If-None-Match of a change must be *.')
    return null
  }
  if (ifMatch === undefined) return undefined
  if (ifMatch.trim() === '*') return anyVersion
  const [, version] = /^"([\x21\x23-\x7e]*)"$/.exec(ifMatch.trim()) ?? []
  if (version === undefined) throw malformed('If-Match must be one strong entity tag, or *.')
  return version
}

function malformed(detail: string): GatepassError {
  return new GatepassError('request_malformed', { detail })
}
