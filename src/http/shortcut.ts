import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import type { Metrics } from './metrics.ts'
import type { WellKnownDeps } from './routes/well-known.ts'

export type Handler = (request: IncomingMessage, response: ServerResponse) => void

/**
 * Answers plain requests of one kind before Fastify sees them, at half the cost. All others go to
 * the routes, which must give the same answer to the plain ones too.
 *
 * @param answer false, and nothing done yet, for a request that is not plain; it may leave one to
 *   the route later, too
 */
export function addShortcut(
  app: FastifyInstance,
  answer: (request: IncomingMessage, response: ServerResponse, route: Handler) => boolean,
): void {
  const [route] = app.server.listeners('request') as Handler[]
  if (route === undefined) throw new Error('the server has no handler yet')
  app.server.removeAllListeners('request')
  app.server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    if (!answer(request, response, route)) route(request, response)
  })
}

const url = '/.well-known/jwks.json'

/**
 * A shortcut for the JWKS: whoever runs many verifiers asks for nothing as often. Not plain is a
 * condition, another method, or a front end.
 */
export function shortcutJwks(app: FastifyInstance, jwks: WellKnownDeps['jwks'], metrics: Metrics) {
  let answered: Published | null = null
  let headers: string[] = []
  addShortcut(app, (request, response) => {
    const isPlain =
      request.url === url &&
      request.method === 'GET' &&
      request.headers['if-none-match'] === undefined &&
      request.headers.origin === undefined
    if (!isPlain) return false
    const published = jwks()
    if (published !== answered) {
      answered = published
      headers = headersOf(published)
    }
    response.writeHead(200, headers)
    response.end(published.body)
    metrics.countJwks()
    return true
  })
}

type Published = ReturnType<WellKnownDeps['jwks']>

/** One after the other, name and value, as Node takes them fastest. */
function headersOf({ body, etag, maxAge_s }: Published): string[] {
  return [
    ['content-type', 'application/jwk-set+json'],
    ['content-length', String(Buffer.byteLength(body))],
    ['cache-control', `public, max-age=${maxAge_s}`],
    ['x-content-type-options', 'nosniff'],
    ['etag', etag],
  ].flat()
}
