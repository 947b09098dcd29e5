import { deserialize, serialize } from 'node:v8'

/** How many bytes the length of a message takes, which stands before it. */
const headBytes = 4

/** A value as it goes through a pipe: its length, then what V8's structured clone writes of it. */
export function toFrame(value: unknown): Buffer {
  const body = serialize(value)
  const frame = Buffer.allocUnsafe(headBytes + body.length)
  frame.writeUInt32LE(body.length)
  frame.set(body, headBytes)
  return frame
}

/** The value of a frame; undefined as long as not all of it is there. */
export function fromFrame(bytes: Buffer): unknown {
  if (bytes.length < headBytes) return undefined
  const end = headBytes + bytes.readUInt32LE()
  return bytes.length < end ? undefined : deserialize(bytes.subarray(headBytes, end))
}
