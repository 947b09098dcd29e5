import { z } from 'zod'
import { maxValueBytes } from '../data/owned-fields.ts'

/** What goes over the wire of `/data`, as in schemas.ts. */

const scope = z.enum(['session', 'user']).meta({
  description: '`session` ends with the session of the token; `user` outlives it.',
})
const field = z.string().meta({ description: 'Up to 64 letters, digits, `-` and `_`.' })
const jsonValue = z.unknown()

export const scopeParams = z.object({ scope })
export const fieldParams = z.object({ scope, field })

export const readHeaders = z.looseObject({
  'if-none-match': z.string().max(1024).optional().meta({
    description: 'The `ETag` of the copy at hand; 304 says that it is current.',
  }),
})

export const changeHeaders = z.looseObject({
  'if-match': z.string().max(256).optional().meta({
    description: 'The `ETag` that the field must have, or `*` for any.',
  }),
  'if-none-match': z.string().max(256).optional().meta({
    description: '`*`: there must be no such field.',
  }),
})

export const fieldValue = jsonValue.meta({
  id: 'DataValue',
  description: `Any JSON value, up to ${maxValueBytes / 1024} KiB.`,
})

export const fieldList = z
  .object({
    fields: z.record(z.string(), z.object({ value: jsonValue, etag: z.string() })),
  })
  .meta({ id: 'DataFields', description: 'Each field by its name.' })

export const created = z.undefined().meta({ description: 'There was no such field before.' })
export const changed = z.undefined().meta({ description: 'The field has the new value.' })
export const absent = z.undefined().meta({ description: 'There is no such field any more.' })
