import { core } from 'zod'
import { GatepassError } from '../core/errors.ts'
import type { JsonValue } from '../core/json.ts'
import { encodeValue } from './limits.ts'
import type { OwnedFields } from './owned-fields.ts'
import type { Updates } from './updates.ts'

/** The fields that there are, each with the schema of its value. */
export type FieldSchemas = { readonly [field: string]: core.$ZodType }

/** What a field reads as. One that is not there is undefined, unless its schema has a default. */
export type Stored<S extends core.$ZodType> =
  undefined extends core.input<S> ? core.output<S> : core.output<S> | undefined

type Name<S extends FieldSchemas> = keyof S & string

/**
 * The fields of one session or of one user, each of the type that its schema has. Nothing is read
 * before it is asked for, and nothing is kept: each call is one round trip, `update` is two.
 */
export class TypedFields<S extends FieldSchemas> {
  readonly #schemas: S
  readonly #open: () => OwnedFields
  readonly #updates: Updates

  /** @param open the fields of whoever asks; throws where nobody is signed in */
  constructor(schemas: S, open: () => OwnedFields, updates: Updates) {
    this.#schemas = schemas
    this.#open = open
    this.#updates = updates
  }

  /**
   * @throws `token_missing`, `data_value_unexpected` where the schema refuses what is stored and has
   *   no `catch`, `store_unavailable`
   */
  async get<N extends Name<S>>(field: N): Promise<Stored<S[N]>> {
    const schema = this.#schemaOf(field)
    return decode(field, schema, (await this.#open().get(field))?.value)
  }

  /** Several in one round trip. Throws like `get`. */
  async getMany<N extends Name<S>>(
    fields: readonly N[],
  ): Promise<{ readonly [F in N]: Stored<S[F]> }> {
    const schemas = fields.map((field) => [field, this.#schemaOf(field)] as const)
    const found = await this.#open().getMany(fields)
    const entries = schemas.map(([field, schema]) => [
      field,
      decode(field, schema, found.get(field)?.value),
    ])
    return Object.fromEntries(entries)
  }

  /**
   * Writes a field, whatever it was. To change what is there, use `update`.
   *
   * @throws `token_missing`, `token_revoked` once the session has ended, `data_value_invalid`,
   *   `data_value_too_large`, `data_fields_exceeded`, `store_unavailable`
   */
  async set<N extends Name<S>>(field: N, value: core.output<S[N]>): Promise<void> {
    const encoded = encode(field, this.#schemaOf(field), value)
    await this.#open().set(field, encoded)
  }

  /** Removes a field; tells whether there was one. Throws like `set`. */
  async delete(field: Name<S>): Promise<boolean> {
    this.#schemaOf(field)
    return this.#open().delete(field)
  }

  /** Keeps all that is there for as long as after a change. */
  async touch(): Promise<void> {
    await this.#open().touch()
  }

  /**
   * Changes a field without losing what others change meanwhile: when somebody was faster, `change`
   * is called again, with what is there now. So it must do nothing but work out the next value, and
   * at once: what it needs to wait for comes before the update.
   *
   * @returns the value that was written
   * @throws like `get` and `set`; `data_conflict` when others were faster over and over; what
   *   `change` throws
   */
  async update<N extends Name<S>>(
    field: N,
    change: (current: Stored<S[N]>) => core.output<S[N]>,
  ): Promise<core.output<S[N]>> {
    const schema = this.#schemaOf(field)
    let next: core.output<S[N]> | undefined
    await this.#updates.make(this.#open(), field, (current) => {
      next = change(decode(field, schema, current))
      // As it will be read again: nobody's copy is changed by who changes it next.
      return JSON.parse(String(encodeValue(encode(field, schema, next))))
    })
    return next as core.output<S[N]>
  }

  #schemaOf<N extends Name<S>>(field: N): S[N] {
    if (Object.hasOwn(this.#schemas, field)) return this.#schemas[field]
    throw new GatepassError('data_field_invalid', { detail: 'The application has no such field.' })
  }
}

/** What is stored, or undefined, as the schema reads it. */
function decode<S extends core.$ZodType>(
  field: string,
  schema: S,
  stored: JsonValue | undefined,
): Stored<S> {
  const result = core.safeDecode(schema, stored as core.input<S>)
  if (result.success) return result.data as Stored<S>
  if (stored === undefined) return undefined as Stored<S>
  throw new GatepassError('data_value_unexpected', {
    cause: new Error(`The field ${field} holds what its schema refuses.`, { cause: result.error }),
  })
}

/** @throws `data_value_invalid`, with the places that the schema refuses */
function encode<S extends core.$ZodType>(
  field: string,
  schema: S,
  value: core.output<S>,
): JsonValue {
  const result = core.safeEncode(schema, value)
  if (result.success) return result.data as JsonValue
  throw new GatepassError('data_value_invalid', {
    detail: `The field ${field} can't have this value.`,
    problems: result.error.issues.map(({ path, message }) => ({
      pointer: `/${path.map(String).join('/')}`,
      detail: message,
    })),
  })
}
