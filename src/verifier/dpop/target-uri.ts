import { GatepassError } from '../../core/errors.ts'
import { isWebAddress } from '../http-client.ts'

/**
 * Normalizes a URI (RFC 3986 §6.2.2 and §6.2.3) without query and fragment, as RFC 9449 §4.3 compares
 * it. This covers the case of scheme, host and percent-encodings, the default port, an empty path, dot
 * segments, and needless encodings.
 *
 * @returns null if it is not an absolute http or https URI, or has user information
 */
export function normalizeTargetUri(uri: string): string | null {
  const end = uri.search(/[?#]/)
  const text = end === -1 ? uri : uri.slice(0, end)
  const authority = /^https?:\/\/([^/]+)/i.exec(text)?.[1]
  // The URL parser would skip invalid characters, or read `\` as a slash.
  if (authority === undefined || authority.includes('@') || !uriCharacters.test(text)) return null
  const url = URL.parse(text)
  if (url === null) return null
  const path = normalizeEncodings(url.pathname)
  return path === null ? null : `${url.protocol}//${url.host}${path}`
}

/** Visible ASCII without the backslash. */
const uriCharacters = /^[\x21-\x5b\x5d-\x7e]*$/

/** @returns null if a percent sign encodes nothing */
function normalizeEncodings(path: string): string | null {
  if (!path.includes('%')) return path
  if (/%(?![\da-f]{2})/i.test(path)) return null
  return path.replaceAll(/%[\da-f]{2}/gi, (encoded) => {
    const character = String.fromCharCode(Number.parseInt(encoded.slice(1), 16))
    return /[\w.~-]/.test(character) ? character : encoded.toUpperCase()
  })
}

/** The target of a request, as its client called it. */
export interface RequestTarget {
  /** Method of the request. */
  readonly method: string
  /** Absolute URI of the request. Query and fragment are ignored. */
  readonly uri: string
}

/** A request of Fastify, or of another framework with the same members. */
export interface TargetedRequest {
  readonly method: string
  /** The request target, as received. */
  readonly originalUrl: string
  readonly protocol: string
  readonly host: string
}

export type TargetOf = (request: TargetedRequest) => RequestTarget

/** Returns path and query of a request target, which may have the absolute form (RFC 9112 §3.2.2). */
export function pathAndQuery(target: string): string {
  return target.replace(/^https?:\/\/[^/?#]*/i, '')
}

/** Returns targets below a public address. Ignores the headers of the request. */
export function targetBelow(publicUrl: string): TargetOf {
  const base = publicUrl.endsWith('/') ? publicUrl.slice(0, -1) : publicUrl
  return ({ method, originalUrl }) => ({ method, uri: base + pathAndQuery(originalUrl) })
}

/**
 * Returns targets as the framework sees them: by `Host` (RFC 9110 §7.1), and by `X-Forwarded-*` if the
 * framework trusts its peer.
 */
const targetAsSeen: TargetOf = ({ method, protocol, host, originalUrl }) => ({
  method,
  uri: `${protocol}://${host}${pathAndQuery(originalUrl)}`,
})

/** @throws `config_invalid` */
export function readPublicUrl(publicUrl: unknown): TargetOf {
  if (publicUrl === undefined) return targetAsSeen
  if (isWebAddress(publicUrl) && !/[?#@]/.test(publicUrl)) return targetBelow(publicUrl)
  throw new GatepassError('config_invalid', {
    detail: 'The publicUrl must be an http or https address without a query or white space.',
  })
}
