/** JSON in which what holds nothing but plain values is one line: short, and readable in a change. */
export function compactJson(value: unknown, indent = ''): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const isList = Array.isArray(value)
  const parts = Object.entries(value)
    .filter(([, inner]) => inner !== undefined)
    .map(([name, inner]) => [isList ? '' : `${JSON.stringify(name)}: `, inner] as const)
  const [open, close] = isList ? '[]' : '{}'
  if (parts.every(([, inner]) => isPlain(inner))) {
    return `${open}${parts.map(([name, inner]) => name + JSON.stringify(inner)).join(', ')}${close}`
  }
  const deeper = `${indent} `
  const lines = parts.map(([name, inner]) => `${deeper}${name}${compactJson(inner, deeper)}`)
  return `${open}\n${lines.join(',\n')}\n${indent}${close}`
}

function isPlain(value: unknown): boolean {
  return typeof value !== 'object' || value === null || Object.keys(value).length === 0
}
