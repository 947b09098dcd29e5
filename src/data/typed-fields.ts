import { core } from 'zod'
import { type FieldProblem, GatepassError } from '../core/errors.ts'
import {
  escapePointer,
  heapBytesOf,
  isJsonValue,
  isPlainObject,
  type JsonValue,
  parseJson,
} from '../core/json.ts'
import { synchronous } from '../core/promise.ts'
import { encodeValue, maxDecodedBytes, type OwnedFields, type ValueText } from './owned-fields.ts'
import type { Updates } from './updates.ts'

/** The schema of each field. */
export type FieldSchemas = { readonly [field: string]: core.$ZodType }

/**
 * The value that reading a field returns: undefined if absent, unless the schema has a default or a
 * catch. The input type of a schema does not tell: that of `z.coerce.number()` is `unknown`.
 */
export type Stored<S extends core.$ZodType> = S extends core.$ZodCatch
  ? core.output<S>
  : undefined extends S['_zod']['optin']
    ? core.output<S> | undefined
    : core.output<S>

/** The value that a write takes. JSON has no undefined: `delete` removes a field. */
export type Written<S extends core.$ZodType> = Exclude<core.output<S>, undefined>

type Name<S extends FieldSchemas> = keyof S & string

/**
 * The state that the typed fields of all sessions and users share.
 * @internal
 */
export interface SharedState {
  readonly updates: Updates
  /** Decoded values, or why they cannot be decoded, by the texts that the cache of fields holds. */
  readonly decoded: WeakMap<ValueText, unknown>
}

/**
 * The typed fields of one session or one user. Each call takes one round trip to the store.
 * `update` takes two, or one while nobody else changes the field.
 */
export class TypedFields<S extends FieldSchemas> {
  readonly #schemas: S
  readonly #open: () => OwnedFields
  readonly #shared: SharedState

  /**
   * @param open returns the fields of the caller; throws if nobody is signed in
   * @internal
   */
  constructor(schemas: S, open: () => OwnedFields, shared: SharedState) {
    this.#schemas = schemas
    this.#open = open
    this.#shared = shared
  }

  /**
   * Reads a field.
   * @throws `token_missing`; `token_claims` for the data of a session if the token has no `sid`;
   *   `data_value_unexpected` if the schema rejects the stored value and has no `catch`;
   *   `store_unavailable`
   */
  async get<N extends Name<S>>(field: N): Promise<Stored<S[N]>> {
    const schema = this.#schemaOf(field)
    return this.#decode(field, schema, await this.#open().getText(field))
  }

  /** Reads several fields in one round trip. Throws like `get`. */
  async getMany<N extends Name<S>>(
    fields: readonly N[],
  ): Promise<{ readonly [F in N]: Stored<S[F]> }> {
    const schemas = fields.map((field) => [field, this.#schemaOf(field)] as const)
    const found = await this.#open().getTexts(fields)
    const entries = schemas.map(([field, schema]) => [
      field,
      this.#decode(field, schema, found.get(field) ?? null),
    ])
    return Object.fromEntries(entries)
  }

  /**
   * Overwrites a field. To change a value, use `update`; to remove it, use `delete`.
   *
   * @throws `token_missing`, `token_claims` as `get`, `token_revoked` once the session has ended,
   *   `data_value_invalid`, `data_value_too_large`, `data_fields_exceeded`, `store_unavailable`
   */
  async set<N extends Name<S>>(field: N, value: Written<S[N]>): Promise<void> {
    const encoded = encode(field, this.#schemaOf(field), value)
    await this.#open().set(field, encoded)
  }

  /** Removes a field and tells whether it was present. Throws like `set`. */
  async delete(field: Name<S>): Promise<boolean> {
    this.#schemaOf(field)
    return this.#open().delete(field)
  }

  /** Extends the expiry of all fields as a change does. */
  async touch(): Promise<void> {
    await this.#open().touch()
  }

  /**
   * Changes a field without losing a concurrent change. After a conflict `change` is called again
   * with the latest value, so it must be synchronous and free of side effects.
   *
   * @returns the value that was written, as `get` returns it
   * @throws like `get` and `set`; `data_conflict` after repeated conflicts; the error of `change`
   */
  async update<N extends Name<S>>(
    field: N,
    change: (current: Stored<S[N]>) => Written<S[N]>,
  ): Promise<Written<S[N]>> {
    const schema = this.#schemaOf(field)
    const fields = this.#open()
    let text = ''
    await this.#shared.updates.update(fields, field, (current) => {
      const next = synchronous(
        change(this.#decode(field, schema, current)),
        `The change of the field ${field} returned a promise. Await before the update, not within it.`,
      )
      text = encodeValue(encode(field, schema, next))
      return text
    })
    const known = fields.lastKnown(field)
    const written = known?.text === text ? known : { text }
    return this.#decode(field, schema, written) as Written<S[N]>
  }

  /** Returns a value that the caller may change. An unchanged value is decoded once. */
  #decode<F extends core.$ZodType>(field: string, schema: F, found: ValueText | null): Stored<F> {
    const { decoded } = this.#shared
    if (found === null) return ownCopyOf(valueOfAbsent(schema))
    const known = decoded.get(found) as Stored<F> | Undecodable | undefined
    if (known instanceof Undecodable) throw unexpected(known)
    if (known !== undefined) return ownCopyOf(known)
    try {
      const value = decodeText(field, schema, found.text)
      if (mayBeKept(value, found.text)) decoded.set(found, value)
      return ownCopyOf(value)
    } catch (error) {
      // The value is nested too deeply.
      if (error instanceof RangeError) throw unexpected(new Undecodable(field, error.message))
      if (!(error instanceof Undecodable)) throw error
      // Finding thousands of problems again would take long.
      decoded.set(found, error)
      throw unexpected(error)
    }
  }

  #schemaOf<N extends Name<S>>(field: N): S[N] {
    if (Object.hasOwn(this.#schemas, field)) return this.#schemas[field]
    throw new GatepassError('data_field_invalid', { detail: 'The application has no such field.' })
  }
}

/** A schema that requires a value is not asked: with `coerce` it would return the text `undefined`. */
function valueOfAbsent<S extends core.$ZodType>(schema: S): Stored<S> {
  const isRequired = schema._zod.optin === undefined && !(schema instanceof core.$ZodCatch)
  if (isRequired) return undefined as Stored<S>
  const result = core.safeDecode(schema, undefined as core.input<S>)
  return (result.success ? result.data : undefined) as Stored<S>
}

/** Decodes a stored value by its schema. @throws `Undecodable` */
function decodeText<S extends core.$ZodType>(field: string, schema: S, text: string): Stored<S> {
  const stored = parseJson(text)
  // A value that is stored without encryption may be any text.
  if (stored === undefined) throw new Undecodable(field, 'it is not JSON')
  const result = core.safeDecode(schema, stored as core.input<S>)
  if (result.success) return result.data as Stored<S>
  const problems = problemsOf(result.error).map(({ pointer, detail }) => `${pointer} ${detail}`)
  throw new Undecodable(field, problems.join('; '))
}

/** A user who can write the field determines the problems of its value, which reach a log. */
const maxReasonLength = 1000

/** A stored value that its schema rejects. */
class Undecodable extends Error {
  constructor(field: string, reason: string) {
    const text = reason.slice(0, maxReasonLength)
    super(`The field ${field} has a value that its schema rejects: ${text}`)
  }
}

function unexpected(cause: Error): GatepassError {
  return new GatepassError('data_value_unexpected', { cause })
}

/**
 * Whether requests may share a decoded value: it is JSON, so that each gets a copy, and needs no
 * more memory than the cache counts for it. `[[],[],…]` needs 20 times as much as its text.
 */
function mayBeKept(value: unknown, text: string): boolean {
  return isJsonValue(value) && heapBytesOf(value) <= maxDecodedBytes(text)
}

/**
 * Copies arrays, plain objects, dates, maps and sets. Requests share decoded values, and those of a
 * `default` or a `catch` belong to the schema, so a caller that changes one would change the values of
 * other users.
 */
function ownCopyOf<T>(value: T): T {
  if (typeof value !== 'object') return value
  if (Array.isArray(value)) return value.map(ownCopyOf) as T
  if (isPlainObject(value)) {
    const copy: Record<string, unknown> = { ...value }
    for (const name in copy) {
      if (typeof copy[name] === 'object') copy[name] = ownCopyOf(copy[name])
    }
    return copy as T
  }
  if (value instanceof Date) return new Date(value) as T
  if (value instanceof Map) return new Map(Array.from(value, ownCopyOf)) as T
  if (value instanceof Set) return new Set(Array.from(value, ownCopyOf)) as T
  return value
}

/** @throws `data_value_invalid` with the paths that the schema rejects */
function encode<S extends core.$ZodType>(field: string, schema: S, value: Written<S>): JsonValue {
  const detail = `The schema of the field ${field} rejects this value.`
  try {
    const result = core.safeEncode(schema, value)
    if (result.success) return result.data as JsonValue
    throw new GatepassError('data_value_invalid', { detail, problems: problemsOf(result.error) })
  } catch (cause) {
    // The value is nested too deeply.
    throw cause instanceof RangeError
      ? new GatepassError('data_value_invalid', { detail, cause })
      : cause
  }
}

/** A long list would fill the log: 64 KiB can have 32,000 problems. */
const maxProblems = 20

function problemsOf(error: core.$ZodError): FieldProblem[] {
  return error.issues.slice(0, maxProblems).map(({ path, message }) => ({
    pointer: path.map((name) => `/${escapePointer(String(name))}`).join(''),
    detail: message,
  }))
}
