import swagger from '@fastify/swagger'
import Fastify, { type RouteOptions } from 'fastify'
import {
  createJsonSchemaTransform,
  createJsonSchemaTransformObject,
} from 'fastify-type-provider-zod'
import type { core } from 'zod'
import { problemType } from '../core/errors.ts'
import { securitySchemes } from '../verifier/fastify.ts'

/** The operations of OpenAPI 3.1. Fastify supports QUERY too, which comes with OpenAPI 3.2. */
const operations = new Set(['GET', 'PUT', 'POST', 'DELETE', 'OPTIONS', 'HEAD', 'PATCH', 'TRACE'])

export interface OpenApiInfo {
  readonly title: string
  readonly description: string
  readonly version: string
  /** Name of the refresh cookie, if the service has one. */
  readonly cookieName?: string
}

/** Creates the document from the schemas of routes. Only a request for the document loads this module. */
export async function createOpenApiDocument(
  routes: readonly Pick<RouteOptions, 'method' | 'url' | 'schema'>[],
  { cookieName, ...info }: OpenApiInfo,
): Promise<object> {
  // Holds the schemas for the generator and serves no request.
  const app = Fastify({ exposeHeadRoutes: false })
  app.setValidatorCompiler(() => () => true)
  app.setSerializerCompiler(() => String)
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { ...info, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
      components: {
        securitySchemes: {
          ...securitySchemes,
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
    transformObject: (document) => dropUnused(describeBodies(nameSchemas(document))),
  })
  for (const { method, url, schema } of routes) {
    const described = [method].flat().filter((one) => operations.has(one))
    app.route({ method: described, url, ...(schema && { schema }), handler: () => {} })
  }
  await app.ready()
  return app.swagger()
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

interface Body {
  required?: boolean
  content?: Record<
    string,
    { readonly schema?: { readonly $ref?: string; readonly anyOf?: object[] } }
  >
}

interface Operation {
  readonly requestBody?: Body
  readonly responses?: Readonly<Record<string, Body>>
}

/** Marks bodies that may be missing, and gives errors their media type: the generator knows neither. */
function describeBodies(document: OpenApiDocument): OpenApiDocument {
  const { paths = {} } = document as { paths?: Record<string, Record<string, Operation>> }
  const operations = Object.values(paths).flatMap((path) => Object.values(path))
  for (const { requestBody, responses = {} } of operations) {
    const [media] = Object.values(requestBody?.content ?? {})
    const mayBeNull = media?.schema?.anyOf?.some((one) => 'type' in one && one.type === 'null')
    if (requestBody && mayBeNull) requestBody.required = false
    for (const response of Object.values(responses)) {
      const [problem] = Object.values(response.content ?? {})
      if (problem?.schema?.$ref !== '#/components/schemas/Problem') continue
      response.content = { [problemType]: problem }
    }
  }
  return document
}

/** Removes unused schemas: zod generates an input and an output form of each. */
function dropUnused(document: OpenApiDocument): OpenApiDocument {
  const { components } = document as { components?: { schemas?: Record<string, unknown> } }
  const text = JSON.stringify('paths' in document && document.paths)
  for (const name of Object.keys(components?.schemas ?? {})) {
    if (!text.includes(`"#/components/schemas/${name}"`)) delete components?.schemas?.[name]
  }
  return document
}
