import { closeSync, openSync, readSync } from 'node:fs'
import type { TokenLoop } from './loop.ts'

/** The first tokens of a file that has one a line; they may be more than one string can hold. */
export function readTokens(path: string, count: number): TokenLoop {
  const file = openSync(path, 'r')
  const first = Buffer.alloc(8192)
  const length = first.subarray(0, readSync(file, first)).indexOf('\n')
  const bytes = Buffer.alloc(count * (length + 1))
  // One read is 2 GiB at most, which no file here is.
  const read = readSync(file, bytes, 0, bytes.length, 0)
  closeSync(file)
  if (read < bytes.length) throw new Error(`there are not ${count} tokens of one length`)
  const tokenAt = (index: number) => {
    const start = index * (length + 1)
    return bytes.toString('latin1', start, start + length)
  }
  return { count, tokenAt }
}
