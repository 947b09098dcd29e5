import { GatepassError } from '../core/errors.ts'
import type { JsonValue } from '../core/json.ts'

/** The largest value, as JSON in UTF-8. */
export const valueBytesMax = 64 * 1024
/** How many fields a session has at most, and a user. */
export const fieldsMax = 64
const nameLengthMax = 64

/**
 * Names fit into a URL and into the keys of every store as they are: letters, digits, `-` and `_`.
 *
 * @throws `data_field_invalid`
 */
export function checkFieldName(field: string): void {
  if (field.length <= nameLengthMax && /^[\w-]+$/.test(field)) return
  throw new GatepassError('data_field_invalid', {
    detail: `A field has a name of 1 to ${nameLengthMax} letters, digits, - or _.`,
  })
}

/** @throws `data_value_invalid` for what JSON can't hold, `data_value_too_large` */
export function encodeValue(value: JsonValue): Buffer {
  const text = toJson(value)
  if (text === undefined) throw new GatepassError('data_value_invalid')
  const bytes = Buffer.from(text)
  if (bytes.length <= valueBytesMax) return bytes
  throw new GatepassError('data_value_too_large', {
    detail: `The value has ${bytes.length} bytes as JSON; ${valueBytesMax} are allowed.`,
  })
}

/** A stranger to TypeScript may pass undefined or a function, of which JSON makes nothing. */
function toJson(value: JsonValue): string | undefined {
  try {
    return JSON.stringify(value)
  } catch (cause) {
    // It holds itself, or a bigint, or is nested deeper than the stack.
    throw new GatepassError('data_value_invalid', { cause })
  }
}
