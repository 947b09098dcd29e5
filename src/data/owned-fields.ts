import type { Clock } from '../core/clock.ts'
import { GatepassError, isGatepassError } from '../core/errors.ts'
import { isJsonValue, type JsonValue } from '../core/json.ts'
import { LruCache } from '../core/lru-cache.ts'
import { randomId } from '../core/secrets.ts'
import {
  anyVersion,
  type DataOwner,
  type DataStore,
  type Expected,
  type StoredField,
} from '../stores/data-store.ts'
import type { FieldCodec } from './field-cipher.ts'

// For src/http, which imports no code of the stores.
export { anyVersion, type Expected } from '../stores/data-store.ts'

/** Largest value, as JSON in UTF-8. */
export const maxValueBytes = 64 * 1024
/** Most fields of one session or one user. */
export const maxFields = 64
const maxNameLength = 64

/**
 * Checks that a name fits into a URL and into the keys of every store: letters, digits, `-`, `_`.
 *
 * @throws `data_field_invalid`
 */
export function checkFieldName(field: string): void {
  if (field.length <= maxNameLength && /^[\w-]+$/.test(field)) return
  throw new GatepassError('data_field_invalid', {
    detail: `The name of a field must have 1 to ${maxNameLength} letters, digits, - or _.`,
  })
}

/** @throws `data_value_invalid` if JSON cannot represent the value, `data_value_too_large` */
export function encodeValue(value: JsonValue): string {
  const text = toJson(value)
  const length = Buffer.byteLength(text)
  if (length <= maxValueBytes) return text
  throw new GatepassError('data_value_too_large', {
    detail: `The value has ${length} bytes as JSON; the maximum is ${maxValueBytes}.`,
  })
}

function toJson(value: JsonValue): string {
  let cause: unknown
  try {
    if (isJsonValue(value)) return JSON.stringify(value)
  } catch (error) {
    // The value is circular or nested too deeply.
    cause = error
  }
  throw new GatepassError('data_value_invalid', {
    detail: 'JSON cannot represent the value, or it is nested too deeply.',
    cause,
  })
}

/** The context that the fields of all owners share. */
export interface FieldsContext {
  readonly store: DataStore
  readonly codec: FieldCodec
  readonly cache: FieldCache
  readonly clock: Clock
  /** Searches for a field that does not decrypt, by owner. Each reads all fields: up to 4 MB. */
  readonly searches: Map<string, Promise<boolean>>
  /** Called for each value that does not decrypt: it was changed, or its secret is unknown. */
  onUnreadable(): void
}

/** The fields of one session or one user. Each call is one round trip to the store. */
export class OwnedFields {
  readonly owner: DataOwner
  readonly #context: FieldsContext
  readonly #expiresAtMs: number

  /** @param expiresAtMs earliest expiry of the fields after a change */
  constructor(context: FieldsContext, owner: DataOwner, expiresAtMs: number) {
    this.owner = owner
    this.#context = context
    this.#expiresAtMs = expiresAtMs
  }

  /** Reads a field as JSON. @throws `data_field_invalid`, `store_unavailable` */
  async getText(field: string): Promise<FieldText | null> {
    return (await this.getTexts([field])).get(field) ?? null
  }

  /**
   * Reads several fields, or all, as JSON; absent fields are left out. Returns the same object for a
   * field while its value is cached and unchanged. Throws like `getText`.
   */
  async getTexts(fields: readonly string[] | 'all'): Promise<Map<string, FieldText>> {
    if (fields !== 'all') fields.forEach(checkFieldName)
    const { store, clock } = this.#context
    const found = new Map<string, FieldText>()
    for (const [name, stored] of await store.read(this.owner, fields, clock.nowMs())) {
      const field = this.#decrypt(name, stored)
      if (field !== undefined) found.set(name, field)
    }
    return found
  }

  /** Returns the field as this process read or wrote it last. Its version may be outdated. */
  lastKnown(field: string): FieldText | null {
    return this.#context.cache.get(this.owner, field) ?? null
  }

  /**
   * Writes a field if it is in the expected state.
   *
   * @returns the new version
   * @throws `data_conflict`, `data_field_invalid`, `data_value_invalid`, `data_value_too_large`,
   *   `data_fields_exceeded`, `token_revoked` once the session has ended, `store_unavailable`
   */
  async set(field: string, value: JsonValue, expected?: Expected): Promise<string> {
    return this.setText(field, encodeValue(value), expected)
  }

  /** Writes a value that `encodeValue` returned. Throws like `set`. */
  async setText(field: string, text: string, expected: Expected): Promise<string> {
    checkFieldName(field)
    let result = await this.#write(field, text, expected)
    if (result.outcome === 'conflict' && expected === null) {
      const unreadable = await this.#unreadable([field])
      if (unreadable !== null) result = await this.#write(field, text, unreadable.version)
    }
    // A concurrent write may take the room.
    while (result.outcome === 'full' && (await this.#removeUnreadable())) {
      result = await this.#write(field, text, expected)
    }
    const { outcome, version } = result
    if (outcome === 'full') {
      throw new GatepassError('data_fields_exceeded', {
        detail: `There are ${maxFields} fields, which is the maximum.`,
      })
    }
    if (outcome !== 'written') throw refusal(outcome)
    return version
  }

  /**
   * Removes a field if it is in the expected state, and returns whether it was present.
   *
   * @throws `data_conflict`, `data_field_invalid`, `token_revoked`, `store_unavailable`
   */
  async delete(field: string, expected?: Expected): Promise<boolean> {
    checkFieldName(field)
    const { store, clock } = this.#context
    const nowMs = clock.nowMs()
    const outcome = await store.remove({ owner: this.owner, field, expected, nowMs })
    if (outcome === 'conflict' || outcome === 'ended') throw refusal(outcome)
    return outcome === 'removed'
  }

  /** Extends the expiry of all fields as a change does. */
  touch(): Promise<void> {
    const { store, clock } = this.#context
    return store.touch(this.owner, this.#expiresAtMs, clock.nowMs())
  }

  async #write(field: string, text: string, expected: Expected) {
    const { store, codec, cache, clock } = this.#context
    const place = { owner: this.owner, field, version: randomId() }
    const value = codec.encrypt(place, Buffer.from(text))
    const outcome = await store.write({
      ...place,
      value,
      expected,
      maxFields,
      expiresAtMs: this.#expiresAtMs,
      nowMs: clock.nowMs(),
    })
    const { version } = place
    if (outcome === 'written') {
      cache.set(this.owner, field, { text, version, stored: value.toString('latin1') })
    }
    return { outcome, version }
  }

  /** Returns one of these fields that is present and does not decrypt, or null. */
  async #unreadable(fields: readonly string[] | 'all') {
    const { store, clock } = this.#context
    for (const [field, stored] of await store.read(this.owner, fields, clock.nowMs())) {
      if (this.#decrypt(field, stored) === undefined) return { field, version: stored.version }
    }
    return null
  }

  /**
   * Removes a field that does not decrypt, to make room for a new one. Returns false without such a field.
   * Writes that need room at the same time share a search.
   */
  #removeUnreadable(): Promise<boolean> {
    const { searches } = this.#context
    const key = fieldKey(this.owner, '')
    const search =
      searches.get(key) ?? this.#removeOneUnreadable().finally(() => searches.delete(key))
    searches.set(key, search)
    return search
  }

  async #removeOneUnreadable(): Promise<boolean> {
    const unreadable = await this.#unreadable('all')
    if (unreadable === null) return false
    const { store, clock } = this.#context
    const { field, version } = unreadable
    await store.remove({ owner: this.owner, field, expected: version, nowMs: clock.nowMs() })
    return true
  }

  /** Undefined if the value does not decrypt: it counts as absent, and a write may replace it. */
  #decrypt(field: string, { value, version }: StoredField): FieldText | undefined {
    const { codec, cache, onUnreadable } = this.#context
    const stored = value.toString('latin1')
    const known = cache.get(this.owner, field)
    if (known?.version === version && known.stored === stored) return known
    const plain = codec.decrypt({ owner: this.owner, field, version }, value)
    if (plain === null) {
      onUnreadable()
      return undefined
    }
    const decrypted = { text: plain.toString(), version, stored }
    cache.set(this.owner, field, decrypted)
    return decrypted
  }
}

function refusal(outcome: 'conflict' | 'ended'): GatepassError {
  return new GatepassError(outcome === 'conflict' ? 'data_conflict' : 'token_revoked')
}

/**
 * Writes a field and tells whether it is new. Without a precondition, creating a field costs two round
 * trips.
 *
 * @throws like `OwnedFields.set`
 */
export async function putField(
  fields: OwnedFields,
  field: string,
  value: JsonValue,
  expected: Expected,
): Promise<{ readonly version: string; readonly isNew: boolean }> {
  // Most changes replace a value, which is tried first.
  const conditions: Expected[] = expected === undefined ? [anyVersion, null] : []
  for (const condition of conditions) {
    try {
      return { version: await fields.set(field, value, condition), isNew: condition === null }
    } catch (error) {
      if (!isGatepassError(error, 'data_conflict')) throw error
    }
  }
  return { version: await fields.set(field, value, expected), isNew: expected === null }
}

/** A value as JSON. */
export interface ValueText {
  readonly text: string
}

/** A field with its value as JSON. */
export interface FieldText extends ValueText {
  /** Changes with each write. A compare-and-set names the version that it expects. */
  readonly version: string
}

interface KnownField extends FieldText {
  /** The stored bytes as Latin-1, which are compared faster than they decrypt. */
  readonly stored: string
}

const maxCachedBytes = 16 * 1024 ** 2
/** Memory of an entry besides its texts. It includes a small decoded value. */
const entryOverheadBytes = 400
const smallValueBytes = 200
/** Memory of the text, and of the value that it is decoded to, for each character. */
const textBytes = 6

/** The memory that an entry of the cache counts for the value that its text is decoded to. */
export function maxDecodedBytes(text: string): number {
  return smallValueBytes + (textBytes - 1) * text.length
}

/**
 * The fields as this process read or wrote them last. Other processes may have changed them since: a
 * value is used only if the store returns the same bytes, or expects the same version.
 */
export class FieldCache {
  readonly #fields = new LruCache<KnownField>(
    maxCachedBytes,
    ({ stored, text }) => entryOverheadBytes + stored.length + textBytes * text.length,
  )

  get(owner: DataOwner, field: string): KnownField | undefined {
    return this.#fields.get(fieldKey(owner, field))
  }

  set(owner: DataOwner, field: string, known: KnownField): void {
    this.#fields.set(fieldKey(owner, field), known)
  }
}

/** Returns a text that no field of another owner has. */
export function fieldKey({ scope, id }: DataOwner, field: string): string {
  return `${scope} ${id} ${field}`
}
