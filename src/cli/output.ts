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
