import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { GatepassError } from '../../core/errors.ts'
import type { JsonValue } from '../../core/json.ts'
import type { DataScope, DataService } from '../../data/data-service.ts'
import {
  maxValueBytes,
  type OwnedFields,
  type Precondition,
  putField,
  removeField,
} from '../../data/owned-fields.ts'
import { entityTag, matches, readPrecondition } from '../conditional-requests.ts'
import { bearer } from '../openapi.ts'
import * as form from '../schemas.ts'
import { notModified, problem } from '../schemas.ts'

export interface DataDeps {
  readonly data: DataService
  /** Whether each change must say what it expects. */
  readonly requiresPrecondition: boolean
}

const tags = ['data']
const reads = { auth: { scope: 'data:read' } }
const writes = { auth: { scope: 'data:write' } }

/** `/data`: the fields of the caller's session, and of the caller. The instance guards its routes. */
export function dataRoutes(instance: FastifyInstance, deps: DataDeps): void {
  // It is the caller's alone, and signing out ends it: no cache may keep it.
  instance.addHook('onRequest', async (_request, reply) => {
    reply.header('cache-control', 'no-store')
  })
  readRoutes(instance, deps)
  changeRoutes(instance, deps)
}

function fieldsOf(request: FastifyRequest, scope: DataScope, { data }: DataDeps): OwnedFields {
  if (request.auth === null) throw new GatepassError('token_missing')
  return data.fieldsOf(scope, request.auth)
}

function readRoutes(instance: FastifyInstance, deps: DataDeps): void {
  const app = instance.withTypeProvider<ZodTypeProvider>()

  app.get(
    '/data/:scope',
    {
      config: reads,
      schema: {
        summary: 'All fields at once',
        tags,
        security: bearer,
        params: form.scopeParams,
        response: { 200: form.fieldList, default: problem },
      },
    },
    async (request) => {
      const all = await fieldsOf(request, request.params.scope, deps).getAll()
      const entries = [...all].map(([name, { value, version }]) => [
        name,
        { value, etag: entityTag(version) },
      ])
      return { fields: Object.fromEntries(entries) }
    },
  )

  app.get(
    '/data/:scope/:field',
    {
      config: reads,
      schema: {
        summary: 'One field',
        tags,
        security: bearer,
        params: form.fieldParams,
        headers: form.readHeaders,
        response: { 200: form.fieldValue, 304: notModified, default: problem },
      },
    },
    async (request, reply) => {
      const { scope, field } = request.params
      const found = await fieldsOf(request, scope, deps).get(field)
      if (found === null) throw new GatepassError('data_field_not_found')
      const etag = entityTag(found.version)
      reply.header('etag', etag)
      if (matches(request.headers['if-none-match'], etag)) return reply.code(304).send(undefined)
      // As text: null, or a string, is a value like any other.
      const text = JSON.stringify(found.value)
      return reply.type('application/json').serializer(String).send(text)
    },
  )
}

function changeRoutes(instance: FastifyInstance, deps: DataDeps): void {
  const app = instance.withTypeProvider<ZodTypeProvider>()

  function preconditionOf(request: FastifyRequest): Precondition {
    const precondition = readPrecondition(request.headers)
    if (precondition === undefined && deps.requiresPrecondition) {
      throw new GatepassError('data_precondition_required')
    }
    return precondition
  }

  app.put(
    '/data/:scope/:field',
    {
      // A field may be larger than other bodies.
      bodyLimit: maxValueBytes,
      config: writes,
      // Afterwards no body looks like null, which is a value.
      preValidation: async ({ body }) => {
        if (body === undefined) throw new GatepassError('data_value_invalid')
      },
      schema: {
        summary: 'Write one field, if it is as expected',
        tags,
        security: bearer,
        params: form.fieldParams,
        headers: form.changeHeaders,
        body: form.fieldValue,
        response: { 201: form.created, 204: form.changed, default: problem },
      },
    },
    async (request, reply) => {
      const { scope, field } = request.params
      const precondition = preconditionOf(request)
      const fields = fieldsOf(request, scope, deps)
      const { version, isNew } = await putField(
        fields,
        field,
        request.body as JsonValue,
        precondition,
      )
      reply.header('etag', entityTag(version))
      return reply.code(isNew ? 201 : 204).send(undefined)
    },
  )

  app.delete(
    '/data/:scope/:field',
    {
      config: writes,
      schema: {
        summary: 'Remove one field, if it is as expected',
        tags,
        security: bearer,
        params: form.fieldParams,
        headers: form.changeHeaders,
        response: { 204: form.absent, default: problem },
      },
    },
    async (request, reply) => {
      const { scope, field } = request.params
      const precondition = preconditionOf(request)
      const fields = fieldsOf(request, scope, deps)
      await removeField(fields, field, precondition)
      return reply.code(204).send(undefined)
    },
  )
}
