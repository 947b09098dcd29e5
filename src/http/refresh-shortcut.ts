import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import type { Audit } from '../issuer/audit.ts'
import type { Refresh, RefreshedTokens } from '../issuer/refresh.ts'
import type { EarlyRefreshes } from './early-refresh.ts'
import type { Metrics } from './metrics.ts'
import type { OriginGuard } from './origin.ts'
import type { RefreshCookie } from './refresh-cookie.ts'
import { requestIdOf } from './request-id.ts'
import { logsRequests } from './request-log.ts'
import { addShortcut, type Handler } from './shortcut.ts'
import { isSetAsCookie, type TokenPlace, tokenResponseOf } from './token-response.ts'

const url = '/refresh'
const jsonType = 'application/json'
const bodyBytesMax = 512
/** A body that means only itself: nothing in it is escaped, named twice or unknown. */
const plainBody = /^\s*\{\s*"refresh_token"\s*:\s*"([\w.-]{1,256})"\s*\}\s*$/
const idempotencyKeyLengthMax = 255
const fixedHeaders = [
  ['x-content-type-options', 'nosniff'],
  ['cache-control', 'no-store'],
  ['content-type', 'application/json; charset=utf-8'],
].flat()

export interface RefreshShortcutDeps {
  readonly refresh: Refresh
  readonly metrics: Metrics
  readonly cookie: RefreshCookie
  readonly origins: OriginGuard
  readonly early: EarlyRefreshes
  /** What front ends on other origins are told besides. */
  corsHeaders(origin: string | undefined): string[]
  auditOf(requestId: string): Audit
}

/** A request that is plain: what the route would take from it, and how long it takes. */
interface PlainRefresh {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly route: Handler
  readonly idempotencyKey: string | undefined
  readonly receivedAtMs: number
}

/**
 * A shortcut for `POST /refresh` with a token in a cookie or alone in a small body: the yes, at half
 * the cost around it. Whatever else it is, a proof of possession, a cookie that came twice, another
 * site, goes to the route; and so does each refusal, for the route to answer.
 */
export function shortcutRefresh(app: FastifyInstance, deps: RefreshShortcutDeps): void {
  // Who logs each request has to see each.
  if (logsRequests(app.log)) return
  const { cookie, origins, early } = deps
  addShortcut(app, (request, response, route) => {
    if (request.url !== url || request.method !== 'POST') return false
    const { headers } = request
    const idempotencyKey = headers['idempotency-key']
    const isPlain =
      headers.dpop === undefined &&
      headers['transfer-encoding'] === undefined &&
      (idempotencyKey === undefined || isPlainKey(idempotencyKey)) &&
      (headers['content-type'] ?? jsonType) === jsonType
    if (!isPlain) return false
    const plain = { request, response, route, idempotencyKey, receivedAtMs: performance.now() }
    const bodyBytes = Number(headers['content-length'] ?? 0)
    if (bodyBytes === 0) {
      const token = cookie.plainValue(headers.cookie)
      if (token === null || !origins.allows(request)) return false
      answer(plain, token, 'cookie', null, deps)
      return true
    }
    if (headers['content-type'] === undefined || !(bodyBytes <= bodyBytesMax)) return false
    readBody(request, bodyBytes, (body) => {
      const token = plainBody.exec(body.toString('latin1'))?.[1]
      if (token !== undefined) return void answer(plain, token, 'body', body, deps)
      early.add(request, { body })
      route(request, response)
    })
    return true
  })
}

function isPlainKey(key: string | string[]): key is string {
  return typeof key === 'string' && key.length > 0 && key.length <= idempotencyKeyLengthMax
}

/** A body that never comes to its end is an affair of the timeouts; nothing is kept of it here. */
function readBody(request: IncomingMessage, length: number, onRead: (body: Buffer) => void): void {
  let body: Buffer | null = null
  request.on('data', (chunk: Buffer) => {
    body = body === null ? chunk : Buffer.concat([body, chunk])
    if (body.length === length) onRead(body)
  })
}

async function answer(
  { request, response, route, idempotencyKey, receivedAtMs }: PlainRefresh,
  refreshToken: string,
  by: TokenPlace,
  body: Buffer | null,
  { refresh, metrics, cookie, early, corsHeaders, auditOf }: RefreshShortcutDeps,
): Promise<void> {
  const requestId = requestIdOf(request)
  let tokens: RefreshedTokens
  try {
    tokens = await refresh.rotate({ refreshToken, idempotencyKey }, auditOf(requestId))
  } catch (refusal) {
    // The route takes the id from here, so that all lines of the request have the same.
    request.headers['x-request-id'] = requestId
    early.add(request, { body, refusal })
    route(request, response)
    return
  }
  const text = JSON.stringify(tokenResponseOf(tokens, by))
  const headers = [
    ...fixedHeaders,
    'content-length',
    String(Buffer.byteLength(text)),
    ...corsHeaders(request.headers.origin),
  ]
  if (isSetAsCookie(tokens, by)) {
    headers.push('set-cookie', cookie.header(tokens.refreshToken, tokens.refreshExpiresIn_s))
  }
  response.writeHead(200, headers)
  response.end(text)
  metrics.countRefresh((performance.now() - receivedAtMs) / 1000)
}
