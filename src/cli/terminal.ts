import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { CommanderError } from 'commander'
import { messagesOf } from '../core/error-text.ts'
import { GatepassError, isGatepassError } from '../core/errors.ts'
import type { CliContext } from './context.ts'

type Row = Readonly<Record<string, unknown>>

/** Rows that are formatted together: all users of a large installation would fill the memory. */
const pageSize = 1_000

/** Prints rows as a table for people, or as JSON for programs. Stops when the reader of a pipe leaves. */
export async function print(
  out: NodeJS.WritableStream,
  rows: Iterable<Row> | AsyncIterable<Row>,
  asJson: boolean,
): Promise<void> {
  const pages = pagesOf(rows)
  for await (const text of asJson ? jsonOf(pages) : tableOf(pages)) {
    const error = await new Promise((resolve) => out.write(text, resolve))
    if (error) return
  }
}

async function* pagesOf(rows: Iterable<Row> | AsyncIterable<Row>): AsyncGenerator<Row[]> {
  let page: Row[] = []
  for await (const row of rows) {
    page.push(row)
    if (page.length < pageSize) continue
    yield page
    page = []
  }
  if (page.length > 0) yield page
}

async function* jsonOf(pages: AsyncIterable<Row[]>): AsyncGenerator<string> {
  let separator = '['
  for await (const page of pages) {
    const withoutBrackets = printableJson(page).slice(2, -3)
    yield `${separator}\n${withoutBrackets}`
    separator = ','
  }
  yield separator === '[' ? '[]\n' : '\n]\n'
}

/** One long cell must not widen all rows. */
const maxPadding = 60

/** A longer cell widens its column from its page on. */
async function* tableOf(pages: AsyncIterable<Row[]>): AsyncGenerator<string> {
  let widths: number[] = []
  for await (const page of pages) {
    const lines = page.map((row) => Object.values(row).map(cell))
    if (widths.length === 0)
      lines.unshift(Object.keys(page[0] ?? {}).map((name) => name.toUpperCase()))
    for (const cells of lines) {
      widths = cells.map((text, at) => Math.max(widths[at] ?? 0, Math.min(text.length, maxPadding)))
    }
    const padded = (text: string, column: number) => text.padEnd(widths[column] ?? 0)
    yield lines.map((cells) => `${cells.map(padded).join('  ').trimEnd()}\n`).join('')
  }
  if (widths.length === 0) yield 'none\n'
}

/** A cell may be the text of a user: a name, an attribute, session data. */
function cell(value: unknown): string {
  if (value === null || value === undefined) return '-'
  return oneLine(typeof value === 'string' ? value : JSON.stringify(value))
}

/** Formats a value as indented JSON that is safe to print. */
export function printableJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2).split('\n').map(oneLine).join('\n')}\n`
}

export function isoTime(timeMs: number | null): string | null {
  return timeMs === null ? null : new Date(timeMs).toISOString()
}

/** Control characters, which a terminal may act on, and characters that reverse or break text. */
const unsafe = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/** Makes untrusted text safe to print on one line. JSON stays JSON with the same value. */
export function oneLine(text: string): string {
  return text.toWellFormed().replaceAll(unsafe, escaped)
}

function escaped(character: string): string {
  const codes = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at))
  return codes.map((code) => `\\u${code.toString(16).padStart(4, '0')}`).join('')
}

export const exitCodes = { ok: 0, failed: 1, misused: 2 } as const

/** Prints an error and returns the exit code. Prints a stack only for an unexpected error. */
export function reportError(error: unknown, stderr: NodeJS.WritableStream): number {
  // Commander has printed its message.
  if (error instanceof CommanderError)
    return error.exitCode === 0 ? exitCodes.ok : exitCodes.misused
  if (error instanceof GatepassError) {
    stderr.write(`gatepass: ${error.message} (${error.code})\n`)
    const hasReason = isGatepassError(error, 'internal_error', 'store_unavailable')
    const reason = hasReason ? reasonOf(error) : null
    if (reason !== null) stderr.write(`  ${oneLine(reason)}\n`)
    for (const { pointer, detail } of error.problems ?? []) {
      stderr.write(`  ${pointer} ${detail}\n`)
    }
    return error.code === 'config_invalid' ? exitCodes.misused : exitCodes.failed
  }
  const { syscall, message, stack } = error as NodeJS.ErrnoException
  // An error of the operating system: its message is enough.
  if (syscall !== undefined) stderr.write(`gatepass: ${message}\n`)
  else stderr.write(`gatepass: ${stack ?? String(error)}\n`)
  return exitCodes.failed
}

/** Returns the reason of an error, unless the error says it. A command has no log for it. */
function reasonOf({ detail, cause }: GatepassError): string | null {
  if (cause instanceof GatepassError) return cause.detail ?? reasonOf(cause)
  return detail === undefined && cause instanceof Error ? messagesOf(cause) : null
}

const maxPasswordBytes = 4096

/** Reads a password: from the terminal without echo, or else from standard input. */
export async function readPassword(context: CliContext, prompt = 'Password: '): Promise<string> {
  return context.stdin.isTTY
    ? readTypedLine(context, prompt, { isEchoed: false })
    : readPiped(context.stdin)
}

/** Asks on the terminal, with echo. */
export async function askLine(context: CliContext, prompt: string): Promise<string> {
  return (await readTypedLine(context, prompt, { isEchoed: true })).trim()
}

/**
 * Text after the line stays in the input without an echo: a password manager types the user name and
 * the password at once.
 *
 * @throws `request_invalid` after Ctrl-C, Ctrl-D, SIGHUP or the end of the input
 */
async function readTypedLine(
  { stdin, stderr }: CliContext,
  prompt: string,
  { isEchoed }: { isEchoed: boolean },
): Promise<string> {
  const typed: string[] = []
  const output = new Writable({
    write(chunk, _encoding, done) {
      if (isEchoed && typed.length === 0) stderr.write(chunk)
      done()
    },
  })
  const lines = createInterface({ input: stdin, output, prompt, terminal: true })
  lines.on('line', (line) => typed.push(line))
  const showPrompt = () => {
    if (!isEchoed) stderr.write(prompt)
    lines.prompt(true)
  }
  // From here on the terminal itself echoes nothing.
  showPrompt()
  // After Ctrl-Z and `fg`, Node reads nothing until the next prompt.
  lines.on('SIGCONT', showPrompt)
  // Node restores the terminal after other signals, but not after this one.
  const cancel = () => lines.close()
  process.once('SIGHUP', cancel)
  try {
    return await new Promise((resolve, reject) => {
      lines.once('line', resolve)
      const detail = 'Canceled.'
      lines.once('close', () => reject(new GatepassError('request_invalid', { detail })))
    })
  } finally {
    process.off('SIGHUP', cancel)
    lines.close()
    const ahead = [...typed.slice(1), lines.line].join('\n')
    if (ahead !== '' && stdin.readable) stdin.unshift(ahead)
    // A line that is echoed ends with its line break, but a cancellation has none.
    if (!isEchoed || typed.length === 0) stderr.write('\n')
  }
}

/**
 * Reads standard input to its end, without a byte order mark and the last line break. Stops reading after
 * `maxBytes`.
 *
 * @throws `request_invalid` for text that is not UTF-8: a replaced character would change a password
 */
export async function readPiped(
  stdin: NodeJS.ReadStream,
  maxBytes = maxPasswordBytes,
): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of stdin) {
    chunks.push(chunk as Buffer)
    length += (chunk as Buffer).length
    if (length > maxBytes) break
  }
  const decoder = new TextDecoder('utf-8', { fatal: true })
  try {
    const text = decoder.decode(Buffer.concat(chunks), { stream: length > maxBytes })
    return text.replace(/\r?\n$/, '')
  } catch {
    throw new GatepassError('request_invalid', { detail: 'Standard input is not UTF-8.' })
  }
}
