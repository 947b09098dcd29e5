import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import type { TokenDemands } from '../verifier/demands.ts'
import type { Verifier } from '../verifier/verifier.ts'
import type { Metrics } from './metrics.ts'
import { logsRequests } from './request-log.ts'
import { identityHeaders } from './routes/verify.ts'
import { addShortcut } from './shortcut.ts'

const path = '/verify'
const scopeQuery = `${path}?scope=`
/** What means only itself in a query. */
const plainScope = /^[A-Za-z0-9:._~/-]{1,256}$/
const noDemands: TokenDemands = {}
const scheme = 'Bearer '
const fixedHeaders = [
  ['x-content-type-options', 'nosniff'],
  ['cache-control', 'no-store'],
  ['content-length', '0'],
].flat()

/**
 * A shortcut for `/verify`, which a reverse proxy asks at each request: the yes to a bearer token
 * that is in the cache. Whatever else it is, another method, a body, a query with more than one
 * scope of plain characters, or any token that is not accepted, goes to the route.
 */
export function shortcutVerify(app: FastifyInstance, verifier: Verifier, metrics: Metrics): void {
  // Who logs each request has to see each.
  if (logsRequests(app.log)) return
  let scopeUrl = ''
  let scopeDemand: TokenDemands = {}
  addShortcut(app, (request, response) => {
    const { url = '', method, headers } = request
    if (method !== 'GET' || hasBody(request)) return false
    if (url !== path && url !== scopeUrl) {
      const scope = url.slice(scopeQuery.length)
      if (!url.startsWith(scopeQuery) || !plainScope.test(scope)) return false
      scopeUrl = url
      scopeDemand = { scope }
    }
    const { authorization = '' } = headers
    if (!authorization.startsWith(scheme)) return false
    const demands = url === path ? noDemands : scopeDemand
    const claims = verifier.verifyKnown(authorization.slice(scheme.length), demands)
    const identity = claims && identityHeaders(claims)
    if (!identity) return false
    response.writeHead(200, [...fixedHeaders, ...identity])
    response.end()
    metrics.countVerify()
    return true
  })
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined
}
