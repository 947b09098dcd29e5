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
  /** The public URL of the service, if it knows it. Its path comes before the paths of the routes. */
  readonly publicUrl?: string
  /** Name of the refresh cookie, if the service has one. */
  readonly cookieName?: string
}

/** Creates the document from the schemas of routes. Only a request for the document loads this module. */
export async function createOpenApiDocument(
  routes: readonly Pick<RouteOptions, 'method' | 'url' | 'schema'>[],
  { publicUrl, cookieName, ...info }: OpenApiInfo,
): Promise<object> {
  // Holds the schemas for the generator and serves no request.
  const app = Fastify({ exposeHeadRoutes: false })
  app.setValidatorCompiler(() => () => true)
  app.setSerializerCompiler(() => String)
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { ...info, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
      ...(publicUrl !== undefined && { servers: [{ url: publicUrl }] }),
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
  description?: string
  required?: boolean
  content?: Record<
    string,
    { readonly schema?: { readonly $ref?: string; readonly anyOf?: object[] } }
  >
}

interface Operation {
  readonly summary?: string
  readonly requestBody?: Body
  readonly responses?: Readonly<Record<string, Body>>
}

interface DocumentParts {
  readonly paths?: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components?: {
    readonly schemas?: Record<string, { readonly description?: string }>
    readonly securitySchemes?: Record<string, unknown>
  }
}

/** Fastify describes a response like this if its schema is a reference. */
const noDescription = 'Default Response'

/**
 * Marks bodies that may be missing, gives errors their media type, and describes responses: the generator
 * does not know these.
 */
function describeBodies(document: OpenApiDocument): OpenApiDocument {
  const { paths = {}, components } = document as DocumentParts
  const operations = Object.values(paths).flatMap((path) => Object.values(path))
  for (const { summary, requestBody, responses = {} } of operations) {
    const [media] = Object.values(requestBody?.content ?? {})
    const mayBeNull = media?.schema?.anyOf?.some((one) => 'type' in one && one.type === 'null')
    if (requestBody && mayBeNull) requestBody.required = false
    for (const response of Object.values(responses)) {
      const [media] = Object.values(response.content ?? {})
      const name = media?.schema?.$ref?.replace('#/components/schemas/', '') ?? ''
      if (response.description === noDescription) {
        response.description = components?.schemas?.[name]?.description ?? summary ?? noDescription
      }
      if (media !== undefined && name === 'Problem') response.content = { [problemType]: media }
    }
  }
  return document
}

/**
 * Removes unused schemas, of which zod generates an input and an output form each, and the security schemes
 * of other services.
 */
function dropUnused(document: OpenApiDocument): OpenApiDocument {
  const { paths = {}, components = {} } = document as DocumentParts
  const text = JSON.stringify(paths)
  const { schemas = {}, securitySchemes = {} } = components
  for (const name of Object.keys(schemas)) {
    if (!text.includes(`"#/components/schemas/${name}"`)) delete schemas[name]
  }
  for (const name of Object.keys(securitySchemes)) {
    if (!text.includes(`{"${name}":[]}`)) delete securitySchemes[name]
  }
  return document
}
