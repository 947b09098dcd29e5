import type { JsonValue } from '../core/json.ts'
import type { AccessTokenClaims } from '../tokens/claims.ts'
import { FixedBytes } from '../tokens/fixed-bytes.ts'
import type { HeldBytes } from '../tokens/held-bytes.ts'

/** The claims that differ from token to token, by what they are. */
const texts: readonly string[] = ['sub', 'jti', 'sid']
const times: readonly string[] = ['exp', 'iat', 'nbf', 'auth_time']

const quote = 0x22
const backslash = 0x5c
const printable = { first: 0x20, last: 0x7e }
const digit = { zero: 0x30, nine: 0x39 }
/** A number of so many digits is a safe integer. */
const digitsMax = 15

/** A claim that differs, behind what does not. */
interface Varying {
  readonly before: FixedBytes
  readonly name: string
  readonly isText: boolean
}

/**
 * The payload of a token as a pattern for others: the same bytes, but for the claims that differ from
 * token to token. Tokens of one issuer are of few kinds, and to compare bytes takes a third of the time
 * that it takes to read JSON and check each claim.
 *
 * What it gives is what a full reading of these bytes would give. As a text it takes printable ASCII
 * without escapes, as a number digits, and all else it leaves to the full reading.
 */
export class ClaimsPattern {
  readonly #varying: readonly Varying[]
  readonly #rest: FixedBytes
  readonly #claims: AccessTokenClaims

  /**
   * @param claims those of that payload: found acceptable, and frozen
   * @returns null for a payload that JSON.stringify would have written otherwise
   */
  static of(payload: Buffer, claims: AccessTokenClaims): ClaimsPattern | null {
    return payload.equals(Buffer.from(JSON.stringify(claims))) ? new ClaimsPattern(claims) : null
  }

  private constructor(claims: AccessTokenClaims) {
    const varying: Varying[] = []
    let text = '{'
    for (const [name, value] of Object.entries(claims)) {
      const isText = texts.includes(name)
      const mark = isText ? '"' : ''
      text += `${text === '{' ? '' : ','}${JSON.stringify(name)}:${mark}`
      if (isText || times.includes(name)) {
        varying.push({ before: new FixedBytes(text), name, isText })
        text = mark
      } else {
        text += JSON.stringify(value)
      }
    }
    this.#varying = varying
    this.#rest = new FixedBytes(`${text}}`)
    this.#claims = { ...claims }
  }

  /** The claims of a payload, frozen; null if it is not of this pattern. */
  read({ room, numbers, length }: HeldBytes): AccessTokenClaims | null {
    const claims: Record<string, JsonValue | undefined> = { ...this.#claims }
    let at = 0
    for (const { before, name, isText } of this.#varying) {
      const start = at + before.length
      if (start > length || !before.isAt(at, numbers)) return null
      at = isText ? endOfText(room, start) : endOfTime(room, start)
      if (at === start) return null
      claims[name] = isText ? room.toString(undefined, start, at) : timeAt(room, start, at)
    }
    // Behind the payload there may be what is left of another one.
    const isWhole = at + this.#rest.length === length && this.#rest.isAt(at, numbers)
    return isWhole ? (Object.freeze(claims) as AccessTokenClaims) : null
  }
}

/** Where a text ends that has nothing in it to be looked at twice. */
function endOfText(bytes: Buffer, start: number): number {
  let at = start
  while (isPlain(bytes[at] ?? 0)) at += 1
  return at
}

function isPlain(code: number): boolean {
  const isPrintable = code >= printable.first && code <= printable.last
  return isPrintable && code !== quote && code !== backslash
}

/** Where a whole number ends, written as JSON has it (RFC 8259 §6); the start if there is none. */
function endOfTime(bytes: Buffer, start: number): number {
  let at = start
  while (isDigit(bytes[at] ?? 0)) at += 1
  const digits = at - start
  const isJson = digits === 1 || bytes[start] !== digit.zero
  return isJson && digits <= digitsMax ? at : start
}

function isDigit(code: number): boolean {
  return code >= digit.zero && code <= digit.nine
}

function timeAt(bytes: Buffer, start: number, end: number): number {
  let time = 0
  for (let at = start; at < end; at += 1) time = 10 * time + (bytes[at] ?? 0) - digit.zero
  return time
}
