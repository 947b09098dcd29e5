import type { JsonValue } from '../../core/json.ts'

const positionLengthMax = 128
const idLengthMax = 512
/** 9999-12-31: what is later is no time that anybody meant. */
const time_sMax = 253_402_300_799

/** A NumericDate (RFC 7519 §2) in whole seconds. */
export function isTime(value: JsonValue | undefined): value is number {
  return (
    typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= time_sMax
  )
}

/** The id of a session, a user or a key. */
export function isId(value: JsonValue | undefined): value is string {
  return typeof value === 'string' && value !== '' && value.length <= idLengthMax
}

/** A place in the log: it goes into a header (`Last-Event-ID`), so it is printable ASCII. */
export function isPosition(value: JsonValue | undefined): value is string {
  if (typeof value !== 'string' || value.length > positionLengthMax) return false
  for (let at = 0; at < value.length; at += 1) {
    const code = value.charCodeAt(at)
    if (code <= 0x20 || code >= 0x7f) return false
  }
  return true
}
