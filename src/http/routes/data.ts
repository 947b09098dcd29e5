import { finished } from 'node:stream/promises'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { PerKeyQueue } from '../../core/bounded-queue.ts'
import { GatepassError } from '../../core/errors.ts'
import type { JsonValue } from '../../core/json.ts'
import type { DataService } from '../../data/data-service.ts'
import { type Expected, type FieldText, maxValueBytes, putField } from '../../data/owned-fields.ts'
import { callerOf } from '../app.ts'
import { checkIfMatch, entityTag, matchesETag, readPrecondition } from '../conditional-requests.ts'
import * as schemas from '../schemas.ts'

export interface DataRoutesOptions {
  readonly data: DataService
  /** Whether each change needs a precondition. */
  readonly requiresPrecondition: boolean
}

/**
 * Lists of one user that are in memory at the same time, each of up to 4 MB: a list stays there until its
 * client has read it. Further lists wait.
 */
const listLimits = { maxConcurrent: 4, maxQueued: 64, maxWaitMs: 2_000 }

const tags = ['data']
const reads = { auth: { scope: 'data:read' } }
const writes = { auth: { scope: 'data:write' } }

/** Registers `/data`, the fields of the caller's session and of the caller, on a guarded instance. */
export function dataRoutes(instance: FastifyInstance, options: DataRoutesOptions): void {
  // The data is private and is deleted at sign-out, so no cache may store it.
  instance.addHook('onRequest', async (_request, reply) => {
    reply.header('cache-control', 'no-store')
  })
  readRoutes(instance, options)
  changeRoutes(instance, options)
}

function readRoutes(instance: FastifyInstance, { data }: DataRoutesOptions): void {
  const app = instance.withTypeProvider<ZodTypeProvider>()
  const lists = new PerKeyQueue(listLimits)

  app.get(
    '/data/:scope',
    {
      config: reads,
      schema: {
        summary: 'Read all fields',
        tags,
        security: schemas.bearer,
        params: schemas.scopeParams,
        response: { 200: schemas.fieldList, default: schemas.problem },
      },
    },
    async (request, reply) => {
      const caller = callerOf(request)
      const fields = data.fieldsOf(request.params.scope, caller)
      const { iss, sub } = caller
      await lists.run(JSON.stringify([iss, sub]), async () => {
        // The client has disconnected.
        if (reply.raw.destroyed) return
        // The text has the form that the schema describes.
        const text = fieldListOf(await fields.getTexts('all')) as never
        reply.type('application/json').serializer(String).send(text)
        await finished(reply.raw).catch(() => {})
      })
      return reply
    },
  )

  app.get(
    '/data/:scope/:field',
    {
      config: reads,
      schema: {
        summary: 'Read a field',
        tags,
        security: schemas.bearer,
        params: schemas.fieldParams,
        headers: schemas.readHeaders,
        response: { 200: schemas.fieldValue, 304: schemas.notModified, default: schemas.problem },
      },
    },
    async (request, reply) => {
      const { scope, field } = request.params
      const found = await data.fieldsOf(scope, callerOf(request)).getText(field)
      if (found === null) throw new GatepassError('data_field_not_found')
      const etag = entityTag(found.version)
      reply.header('etag', etag)
      checkIfMatch(request.headers['if-match'], etag)
      if (matchesETag(request.headers['if-none-match'], etag))
        return reply.code(304).send(undefined)
      // As text, because null and strings are values too.
      return reply.type('application/json').serializer(String).send(found.text)
    },
  )
}

/** Returns fields as JSON. Parsing 4 MB of values to write them again would block other requests. */
function fieldListOf(fields: ReadonlyMap<string, FieldText>): string {
  const members = Array.from(fields, ([name, { text, version }]) => {
    return `${JSON.stringify(name)}:{"value":${text},"etag":${JSON.stringify(entityTag(version))}}`
  })
  return `{"fields":{${members.join(',')}}}`
}

function changeRoutes(
  instance: FastifyInstance,
  { data, requiresPrecondition }: DataRoutesOptions,
): void {
  const app = instance.withTypeProvider<ZodTypeProvider>()

  function expectedBy(request: FastifyRequest): Expected {
    const expected = readPrecondition(request.headers)
    if (expected === undefined && requiresPrecondition) {
      throw new GatepassError('data_precondition_required')
    }
    return expected
  }

  app.put(
    '/data/:scope/:field',
    {
      // Larger than other bodies.
      bodyLimit: maxValueBytes,
      config: writes,
      // After validation a missing body is null, which is a value.
      preValidation: async ({ body, headers }) => {
        // RFC 9110 §14.5: a part must not replace the whole value.
        if (headers['content-range'] !== undefined) {
          const detail = 'Send the whole value, without Content-Range.'
          throw new GatepassError('request_malformed', { detail })
        }
        if (body === undefined) {
          throw new GatepassError('data_value_invalid', { detail: 'The request has no body.' })
        }
      },
      schema: {
        summary: 'Write a field if its precondition holds',
        tags,
        security: schemas.bearer,
        params: schemas.fieldParams,
        headers: schemas.changeHeaders,
        body: schemas.fieldValue,
        response: { 201: schemas.created, 204: schemas.changed, default: schemas.problem },
      },
    },
    async (request, reply) => {
      const { scope, field } = request.params
      const expected = expectedBy(request)
      const fields = data.fieldsOf(scope, callerOf(request))
      const { version, isNew } = await putField(fields, field, request.body as JsonValue, expected)
      reply.header('etag', entityTag(version))
      return reply.code(isNew ? 201 : 204).send(undefined)
    },
  )

  app.delete(
    '/data/:scope/:field',
    {
      config: writes,
      schema: {
        summary: 'Remove a field if its precondition holds',
        tags,
        security: schemas.bearer,
        params: schemas.fieldParams,
        headers: schemas.changeHeaders,
        response: { 204: schemas.absent, default: schemas.problem },
      },
    },
    async (request, reply) => {
      const { scope, field } = request.params
      const expected = expectedBy(request)
      await data.fieldsOf(scope, callerOf(request)).delete(field, expected)
      return reply.code(204).send(undefined)
    },
  )
}
