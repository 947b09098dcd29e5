import type { Clock } from '../core/clock.ts'
import { GatepassError } from '../core/errors.ts'
import type { JsonValue } from '../core/json.ts'
import { randomId } from '../core/secrets.ts'
import type { DataOwner, DataStore, Expected, StoredField } from '../stores/data-store.ts'
import type { FieldCipher } from './field-cipher.ts'
import { checkFieldName, encodeValue, fieldsMax } from './limits.ts'

/** A field as its owner sees it. */
export interface Field {
  readonly value: JsonValue
  /** Names this value alone: what a change expects to find. */
  readonly version: string
}

/** What all owners' fields have in common. */
export interface FieldsContext {
  readonly store: DataStore
  readonly cipher: FieldCipher
  readonly clock: Clock
  /** Told of a value that does not decrypt: it was tampered with, or its secret is gone. */
  onUnreadable(owner: DataOwner, field: string): void
}

/** The fields of one session or of one user. Each call is one round trip to the store. */
export class OwnedFields {
  readonly #context: FieldsContext
  readonly #owner: DataOwner
  readonly #expiresAtMs: number

  /** @param expiresAtMs until when they are kept at least, after a change */
  constructor(context: FieldsContext, owner: DataOwner, expiresAtMs: number) {
    this.#context = context
    this.#owner = owner
    this.#expiresAtMs = expiresAtMs
  }

  get owner(): DataOwner {
    return this.#owner
  }

  /** @throws `data_field_invalid`, `store_unavailable` */
  async get(field: string): Promise<Field | null> {
    return (await this.getMany([field])).get(field) ?? null
  }

  /** Several at once; those that are not there are left out. Throws like `get`. */
  async getMany(fields: readonly string[]): Promise<Map<string, Field>> {
    fields.forEach(checkFieldName)
    return this.#read(fields)
  }

  /** @throws `store_unavailable` */
  getAll(): Promise<Map<string, Field>> {
    return this.#read('all')
  }

  /**
   * Writes a field, if it is as expected: of that version, absent (null), or anything (undefined).
   *
   * @returns its new version
   * @throws `data_conflict`, `data_field_invalid`, `data_value_invalid`, `data_value_too_large`,
   *   `data_fields_exceeded`, `token_revoked` once the session has ended, `store_unavailable`
   */
  async set(field: string, value: JsonValue, expected?: Expected): Promise<string> {
    checkFieldName(field)
    const bytes = encodeValue(value)
    let { outcome, version } = await this.#write(field, bytes, expected)
    if (outcome === 'conflict' && expected === null) {
      const unreadable = await this.#unreadableVersion(field)
      if (unreadable !== null) ({ outcome, version } = await this.#write(field, bytes, unreadable))
    }
    if (outcome === 'full') {
      throw new GatepassError('data_fields_exceeded', {
        detail: `There are ${fieldsMax} fields already, which is the most.`,
      })
    }
    if (outcome !== 'written') throw refusal(outcome)
    return version
  }

  /**
   * Removes a field, if it is as expected.
   *
   * @returns whether there was one
   * @throws `data_conflict`, `data_field_invalid`, `token_revoked`, `store_unavailable`
   */
  async delete(field: string, expected?: Expected): Promise<boolean> {
    checkFieldName(field)
    const { store, clock } = this.#context
    const nowMs = clock.nowMs()
    const outcome = await store.remove({ owner: this.#owner, field, expected, nowMs })
    if (outcome === 'conflict' || outcome === 'ended') throw refusal(outcome)
    return outcome === 'removed'
  }

  /** Keeps what is there for as long as after a change. */
  touch(): Promise<void> {
    const { store, clock } = this.#context
    return store.touch(this.#owner, this.#expiresAtMs, clock.nowMs())
  }

  async #write(field: string, bytes: Buffer, expected: Expected) {
    const { store, cipher, clock } = this.#context
    const place = { owner: this.#owner, field, version: randomId() }
    const outcome = await store.write({
      ...place,
      value: cipher.seal(place, bytes),
      expected,
      fieldsMax,
      expiresAtMs: this.#expiresAtMs,
      nowMs: clock.nowMs(),
    })
    return { outcome, version: place.version }
  }

  /** The version of a field that is there and can't be read; null for any other. */
  async #unreadableVersion(field: string): Promise<string | null> {
    const { store, clock } = this.#context
    const stored = (await store.read(this.#owner, [field], clock.nowMs())).get(field)
    if (stored === undefined || this.#open(field, stored) !== undefined) return null
    return stored.version
  }

  async #read(fields: readonly string[] | 'all'): Promise<Map<string, Field>> {
    const { store, clock } = this.#context
    const found = new Map<string, Field>()
    for (const [name, stored] of await store.read(this.#owner, fields, clock.nowMs())) {
      const value = this.#open(name, stored)
      if (value !== undefined) found.set(name, { value, version: stored.version })
    }
    return found
  }

  /** Undefined for what can't be read: it is as good as gone, and a write may take its place. */
  #open(field: string, { value, version }: StoredField): JsonValue | undefined {
    const { cipher, onUnreadable } = this.#context
    const plain = cipher.open({ owner: this.#owner, field, version }, value)
    if (plain !== null) return JSON.parse(plain.toString()) as JsonValue
    onUnreadable(this.#owner, field)
    return undefined
  }
}

function refusal(outcome: 'conflict' | 'ended'): GatepassError {
  return new GatepassError(outcome === 'conflict' ? 'data_conflict' : 'token_revoked')
}
