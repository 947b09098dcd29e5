/** A function in a source file: its first line, and how many lines are its own. */
export interface FunctionLength {
  readonly line: number
  /** Those of the functions within it don't count: a list of routes is not one long function. */
  readonly ownLines: number
}

interface Block {
  readonly start: number
  readonly end: number
}

/** Finds the functions of a source by the way it is formatted. */
export function functionLengths(source: string): FunctionLength[] {
  const lines = source.split('\n')
  const blocks = lines.flatMap((line, start): Block[] => {
    if (!opensFunction(line)) return []
    const close = `${' '.repeat(line.search(/\S/))}}`
    return [{ start, end: lines.findIndex((next, at) => at > start && next.startsWith(close)) }]
  })
  return blocks.map((block) => {
    const inside = blocks.filter((other) => isWithin(other, block))
    const nearest = inside.filter((one) => !inside.some((other) => isWithin(one, other)))
    const others = nearest.reduce((sum, one) => sum + length(one), 0)
    return { line: block.start + 1, ownLines: length(block) - others }
  })
}

function opensFunction(line: string): boolean {
  if (/^\s*(\*|(if|for|while|switch|catch)\b)/.test(line)) return false
  const isMethod = /^\s*((async|static|private|get|set) )*#?\w+\(.*\)(: .+)? \{$/
  const endsSignature = /^\s*\)(: .+)? \{$/
  return [/=> \{$/, /\bfunction\b.* \{$/, isMethod, endsSignature].some((one) => one.test(line))
}

function isWithin(inner: Block, outer: Block): boolean {
  return inner.start > outer.start && inner.end < outer.end
}

function length({ start, end }: Block): number {
  return end - start + 1
}
