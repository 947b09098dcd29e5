import { GatepassError } from '../../core/errors.ts'
import type { DpopPresentation } from '../requirements.ts'

/**
 * A URI in its normal form (RFC 3986 §6.2.2 and §6.2.3), without query and fragment, as RFC 9449
 * §4.3 compares it: the case of scheme, host and percent-encodings, the default port, an empty path,
 * dot segments, and the encoding of what needs none make no difference.
 *
 * Null for what is not an absolute http or https URI, or has user information in it.
 */
export function normalTargetUri(uri: string): string | null {
  const end = uri.search(/[?#]/)
  const text = end === -1 ? uri : uri.slice(0, end)
  const authority = /^https?:\/\/([^/]+)/i.exec(text)?.[1]
  // What a URI has not, the URL parser would skip, or take `\` for a slash.
  if (authority === undefined || authority.includes('@') || !isVisibleAscii(text)) return null
  const url = URL.parse(text)
  if (url === null) return null
  const path = normalEncodings(url.pathname)
  return path === null ? null : `${url.protocol}//${url.host}${path}`
}

const backslash = 0x5c

function isVisibleAscii(text: string): boolean {
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code <= 0x20 || code >= 0x7f || code === backslash) return false
  }
  return true
}

/** Null when a percent sign encodes nothing. */
function normalEncodings(path: string): string | null {
  if (!path.includes('%')) return path
  if (/%(?![\da-f]{2})/i.test(path)) return null
  return path.replaceAll(/%[\da-f]{2}/gi, (encoded) => {
    const character = String.fromCharCode(Number.parseInt(encoded.slice(1), 16))
    return /[\w.~-]/.test(character) ? character : encoded.toUpperCase()
  })
}

/** What a proof is for: the method and the absolute URI of a request, as its client has called it. */
export type RequestTarget = Pick<DpopPresentation, 'method' | 'uri'>

/** A request in a framework: Fastify's, or another's with the same members. */
export interface TargetedRequest {
  readonly method: string
  /** Path and query, as they came. */
  readonly originalUrl: string
  readonly protocol: string
  readonly host: string
}

export type TargetOf = (request: TargetedRequest) => RequestTarget

/** The target of requests to what is below a public address, whatever a header may say. */
export function targetBelow(publicUrl: string): TargetOf {
  const base = publicUrl.endsWith('/') ? publicUrl.slice(0, -1) : publicUrl
  return ({ method, originalUrl }) => ({ method, uri: base + originalUrl })
}

/**
 * The target as the framework sees it: by `Host` (RFC 9110 §7.1), and by `X-Forwarded-*` if it was
 * told to trust the peer.
 */
export const targetAsSeen: TargetOf = ({ method, protocol, host, originalUrl }) => ({
  method,
  uri: `${protocol}://${host}${originalUrl}`,
})

/** @throws `config_invalid` */
export function readPublicUrl(publicUrl: unknown): TargetOf {
  if (publicUrl === undefined) return targetAsSeen
  const url = typeof publicUrl === 'string' ? URL.parse(publicUrl) : null
  const isWeb = url?.protocol === 'https:' || url?.protocol === 'http:'
  if (typeof publicUrl === 'string' && isWeb && !/[?#@]/.test(publicUrl)) {
    return targetBelow(publicUrl)
  }
  throw new GatepassError('config_invalid', {
    detail: 'The publicUrl must be an http or https address without a query.',
  })
}
