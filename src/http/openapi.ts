import type { FastifyInstance, RouteOptions } from 'fastify'

/** The security schemes that routes refer to. */
export const bearer = [{ bearer: [] }, { dpop: [] }]
/** The client's: in `Authorization`, or among the parameters. */
export const clientAuthentication = [{ client: [] }, {}]

export interface OpenApiInfo {
  readonly title: string
  readonly description: string
  readonly version: string
  /** Name of the refresh cookie, if the service has one. */
  readonly cookieName?: string
}

/** Serves `/openapi.json`, generated from the schemas of the routes that are registered later. */
export function serveOpenApi(app: FastifyInstance, info: OpenApiInfo): void {
  const routes: RouteOptions[] = []
  app.addHook('onRoute', (route) => {
    if (route.method !== 'HEAD') routes.push(route)
  })
  let document: Promise<object> | undefined
  app.get(
    '/openapi.json',
    { schema: { summary: 'This document', tags: ['service'] } },
    async (_request, reply) => {
      document ??= import('./openapi-document.ts').then(({ createOpenApiDocument }) =>
        createOpenApiDocument(routes, info),
      )
      return reply.header('cache-control', 'public, max-age=300').send(await document)
    },
  )
}
