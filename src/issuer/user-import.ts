import { randomUUID } from 'node:crypto'
import * as z from 'zod'
import type { Clock } from '../core/clock.ts'
import { isGatepassError } from '../core/errors.ts'
import { type Account, type AccountStore, subPattern } from '../stores/ports.ts'
import { parseStrictJson, withoutByteOrderMark } from '../tokens/strict-decoding.ts'
import { normalizeLoginName } from './login-name.ts'
import { parsePasswordHash } from './passwords/password-hash.ts'

export interface ImportCounts {
  readonly imported: number
  /** Lines whose login name or `sub` is taken, by an account or an earlier line. */
  readonly skipped: number
  readonly bad: number
}

export interface ImportProgress extends ImportCounts {
  readonly lines: number
  readonly bytes: number
}

export interface ImportOptions {
  readonly accounts: Pick<AccountStore, 'create'>
  readonly clock: Clock
  /** Called after each batch and at the end. */
  readonly onProgress?: (progress: ImportProgress) => void
  /** Called and awaited for each bad line. The reason contains no value of the line. */
  readonly onProblem?: (lineNumber: number, reason: string) => unknown
  /** Accounts per commit. Default: 500. */
  readonly batchSize?: number
}

/** The largest line of an import, and so the largest attributes of a user. */
export const maxUserBytes = 64 * 1024
const maxReasonLength = 200

/** The attributes of a user: JSON, without numbers that JSON cannot repeat. */
export const attributesSchema = z.record(z.string(), z.json())

const lineSchema = z.strictObject({
  login_name: z.string(),
  password_hash: z.string(),
  sub: z
    .string()
    .regex(subPattern, 'must be 1 to 255 visible ASCII characters')
    .default(() => randomUUID()),
  attributes: attributesSchema.default({}),
  disabled: z.boolean().default(false),
})

/**
 * Creates accounts from an NDJSON stream, one per line:
 * `{"login_name", "password_hash", "sub"?, "attributes"?, "disabled"?}`. A bad line is reported and
 * skipped. After an interruption, a second run skips the accounts that exist.
 *
 * @throws `store_unavailable`; the errors of the stream
 */
export async function importUsers(
  ndjson: AsyncIterable<Uint8Array>,
  { accounts, clock, onProgress, onProblem, batchSize = 500 }: ImportOptions,
): Promise<ImportCounts> {
  const counts = { imported: 0, skipped: 0, bad: 0 }
  let position = { lines: 0, bytes: 0 }
  let batch: Account[] = []

  async function commit(): Promise<void> {
    const taken = batch.length === 0 ? [] : await accounts.create(batch)
    counts.skipped += taken.length
    counts.imported += batch.length - taken.length
    batch = []
    onProgress?.({ ...counts, ...position })
  }

  for await (const line of readLines(ndjson, maxUserBytes)) {
    position = { lines: line.number, bytes: line.endByte }
    const read = readAccount(line, clock.nowMs())
    if (typeof read === 'string') {
      counts.bad += 1
      await onProblem?.(line.number, read)
    } else if (read !== null) {
      batch.push(read)
      if (batch.length >= batchSize) await commit()
    }
  }
  await commit()
  return counts
}

/** Returns the account of a line, the problem of a bad line, or null for a blank line. */
function readAccount(line: Line, nowMs: number): Account | string | null {
  if (line.bytes === null) return `It is longer than ${maxUserBytes} bytes.`
  const bytes = line.number === 1 ? withoutByteOrderMark(line.bytes) : line.bytes
  if (isBlank(bytes)) return null
  const value = parseStrictJson(bytes)
  if (value === undefined)
    return 'It is not JSON in UTF-8 with each member once and little nesting.'
  const fields = lineSchema.safeParse(value)
  return fields.success ? toAccount(fields.data, nowMs) : describe(fields.error)
}

function toAccount(fields: z.infer<typeof lineSchema>, nowMs: number): Account | string {
  const { login_name, password_hash: passwordHash, sub, attributes, disabled } = fields
  try {
    const loginName = normalizeLoginName(login_name)
    parsePasswordHash(passwordHash)
    const times = { createdAtMs: nowMs, updatedAtMs: nowMs }
    return { sub, loginName, passwordHash, attributes, disabled, ...times }
  } catch (error) {
    if (isGatepassError(error, 'login_name_invalid')) return error.message
    if (!isGatepassError(error, 'password_hash_invalid')) throw error
    return `The password hash is not acceptable. ${error.message}`
  }
}

/** Names the bad fields. The text is safe for a terminal: bounded, without control characters. */
function describe(error: z.ZodError): string {
  const problems = error.issues.map(({ path, message }) => [...path, message].join(': '))
  return problems.join('; ').replace(/\p{C}/gu, '\ufffd').slice(0, maxReasonLength)
}

function isBlank(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d)
}

/** A line of a text, without its line feed. */
export interface Line {
  /** From 1. */
  readonly number: number
  /** Null if the line is too long. */
  readonly bytes: Buffer | null
  /** Bytes of the text up to the end of this line, including its line feed. */
  readonly endByte: number
}

const lineFeed = 0x0a

/**
 * Splits a stream into lines. Unlike node:readline it buffers at most `maxBytes` of a line. It reports
 * a longer line and continues with the next.
 */
export async function* readLines(
  text: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<Line> {
  let parts: Uint8Array[] = []
  let length = 0
  let number = 0
  let offset = 0

  const keep = (part: Uint8Array): void => {
    length += part.length
    if (length > maxBytes) parts = []
    else parts.push(part)
  }
  const finish = (endByte: number): Line => {
    const bytes = length > maxBytes ? null : Buffer.concat(parts)
    parts = []
    length = 0
    number += 1
    return { number, bytes, endByte }
  }

  for await (const chunk of text) {
    let start = 0
    for (let end = chunk.indexOf(lineFeed); end >= 0; end = chunk.indexOf(lineFeed, start)) {
      keep(chunk.subarray(start, end))
      start = end + 1
      yield finish(offset + start)
    }
    keep(chunk.subarray(start))
    offset += chunk.length
  }
  if (length > 0) yield finish(offset)
}
