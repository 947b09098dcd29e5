import { CommanderError } from 'commander'
import { GatepassError } from '../core/errors.ts'

/** Prints rows as a table for people, or as JSON for programs. */
export function print(
  out: NodeJS.WritableStream,
  rows: readonly Readonly<Record<string, unknown>>[],
  asJson: boolean,
): void {
  if (asJson) out.write(`${JSON.stringify(rows, null, 2)}\n`)
  else out.write(table(rows.map((row) => Object.entries(row).map(([k, v]) => [k, cell(v)]))))
}

function table(rows: readonly (readonly (readonly string[])[])[]): string {
  const [first] = rows
  if (first === undefined) return 'none\n'
  const head = first.map(([name = '']) => name.toUpperCase())
  const body = rows.map((row) => row.map(([, value = '']) => value))
  const widths = head.map((_, column) =>
    Math.max(...[head, ...body].map((row) => row[column]?.length ?? 0)),
  )
  const line = (row: readonly string[]) =>
    row
      .map((text, column) => text.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  return `${[head, ...body].map(line).join('\n')}\n`
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return '-'
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** An instant as people and programs both read it. */
export function isoTime(timeMs: number | null): string | null {
  return timeMs === null ? null : new Date(timeMs).toISOString()
}

/** What could steer a terminal, or turn its text around. */
const unsafe = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/** A text from elsewhere, as one line that does nothing but be read. In JSON, JSON with the same value. */
export function oneLine(text: string): string {
  return text.toWellFormed().replaceAll(unsafe, escaped)
}

function escaped(character: string): string {
  const codes = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at))
  return codes.map((code) => `\\u${code.toString(16).padStart(4, '0')}`).join('')
}

/** What a shell script can tell apart. */
export const exitCodes = { ok: 0, failed: 1, misused: 2 } as const

/** Says what went wrong in plain sentences and gives the exit code. A stack is for our own faults. */
export function report(error: unknown, stderr: NodeJS.WritableStream): number {
  // Commander has printed its own message by now.
  if (error instanceof CommanderError)
    return error.exitCode === 0 ? exitCodes.ok : exitCodes.misused
  if (error instanceof GatepassError) {
    stderr.write(`gatepass: ${error.message} (${error.code})\n`)
    for (const { pointer, detail } of error.problems ?? []) {
      stderr.write(`  ${pointer} ${detail}\n`)
    }
    return error.code === 'config_invalid' ? exitCodes.misused : exitCodes.failed
  }
  const { code, path, message, stack } = error as NodeJS.ErrnoException
  // The operating system refused something: its word and the path say it all.
  if (typeof code === 'string' && path !== undefined) stderr.write(`gatepass: ${message}\n`)
  else stderr.write(`gatepass: ${stack ?? String(error)}\n`)
  return exitCodes.failed
}
