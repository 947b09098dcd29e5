import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import type { Metrics } from './metrics.ts'
import type { WellKnownDeps } from './routes/well-known.ts'

const url = '/.well-known/jwks.json'

/**
 * Answers the plain request for the JWKS before Fastify sees it, at half the cost: whoever runs many
 * verifiers asks for nothing as often. Whatever is not plain (a condition, another method, a front
 * end) goes to the route of the same address, which gives the same answer.
 */
export function shortcutJwks(app: FastifyInstance, jwks: WellKnownDeps['jwks'], metrics: Metrics) {
  const [route] = app.server.listeners('request') as ((
    request: IncomingMessage,
    response: ServerResponse,
  ) => void)[]
  if (route === undefined) throw new Error('the server has no handler yet')
  let answered: Published | null = null
  let headers: string[] = []
  app.server.removeAllListeners('request')
  app.server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const { method } = request
    const isPlain =
      request.url === url &&
      method === 'GET' &&
      request.headers['if-none-match'] === undefined &&
      request.headers.origin === undefined
    if (!isPlain) return route(request, response)
    const published = jwks()
    if (published !== answered) {
      answered = published
      headers = headersOf(published)
    }
    response.writeHead(200, headers)
    response.end(published.body)
    metrics.countJwks()
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
