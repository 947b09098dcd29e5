import swagger from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import {
  createJsonSchemaTransform,
  createJsonSchemaTransformObject,
} from 'fastify-type-provider-zod'
import type { core } from 'zod'

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
export function serveOpenApi(app: FastifyInstance, { cookieName, ...info }: OpenApiInfo): void {
  app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { ...info, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
          dpop: {
            type: 'http',
            scheme: 'dpop',
            bearerFormat: 'JWT',
            description:
              'A token that is bound to a key, with a proof in the header `DPoP` (RFC 9449).',
          },
          client: {
            type: 'http',
            scheme: 'basic',
            description: 'The id and the secret of a client (RFC 6749 §2.3.1).',
          },
          ...(cookieName && { cookie: { type: 'apiKey', in: 'cookie', name: cookieName } }),
        },
      },
    },
    transform: createJsonSchemaTransform({ zodToJsonConfig: { override: simplify } }),
    transformObject: (document) => dropUnused(nameSchemas(document)),
  })
  app.after(() => {
    app.get(
      '/openapi.json',
      { schema: { summary: 'This document', tags: ['service'] } },
      async (_request, reply) =>
        reply.header('cache-control', 'public, max-age=300').send(app.swagger()),
    )
  })
}

const nameSchemas = createJsonSchemaTransformObject({ zodToJsonConfig: { override: simplify } })

/** Removes constraints of zod that tell a reader nothing, and marks 204 as without a body. */
function simplify({
  zodSchema,
  jsonSchema,
}: Parameters<NonNullable<core.ToJSONSchemaParams['override']>>[0]) {
  if (jsonSchema.format !== undefined) delete jsonSchema.pattern
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum
  if (zodSchema._zod.def.type === 'undefined') jsonSchema.type = 'null'
}

type OpenApiDocument = ReturnType<typeof nameSchemas>

/** Removes unused schemas: zod generates an input and an output form of each. */
function dropUnused(document: OpenApiDocument): OpenApiDocument {
  const { components } = document as { components?: { schemas?: Record<string, unknown> } }
  const text = JSON.stringify('paths' in document && document.paths)
  for (const name of Object.keys(components?.schemas ?? {})) {
    if (!text.includes(`"#/components/schemas/${name}"`)) delete components?.schemas?.[name]
  }
  return document
}
