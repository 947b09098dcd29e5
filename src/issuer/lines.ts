/** One line of a text, without its line feed. */
export interface Line {
  /** From 1. */
  readonly number: number
  /** Null when the line was too long to be kept. */
  readonly bytes: Buffer | null
  /** How many bytes of the text have been read, this line and its line feed included. */
  readonly endByte: number
}

const lineFeed = 0x0a

/**
 * Splits a stream into lines and holds no more than `maxBytes` of a line, even when one never ends.
 * (node:readline keeps what it is given.) After a line that is too long reading goes on.
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
