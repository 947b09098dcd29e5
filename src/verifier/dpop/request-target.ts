import { GatepassError } from '../../core/errors.ts'
import type { DpopPresentation } from './possession.ts'

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
