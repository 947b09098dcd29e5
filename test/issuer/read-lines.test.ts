import t from 'tap'
import { readLines } from '../../src/issuer/user-import.ts'
import { collect } from '../support/collect.ts'
import fc from '../support/properties.ts'

async function* chunks(parts: Iterable<string | Uint8Array>) {
  for (const part of parts) yield Buffer.from(part)
}

async function read(maxBytes: number, ...parts: string[]) {
  const lines = await collect(readLines(chunks(parts), maxBytes))
  return lines.map(({ bytes }) => bytes?.toString() ?? null)
}

t.test('lines end with LF, the last one also without', async (t) => {
  t.strictSame(await read(10), [])
  t.strictSame(await read(10, ''), [])
  t.strictSame(await read(10, 'a'), ['a'])
  t.strictSame(await read(10, 'a\n'), ['a'])
  t.strictSame(await read(10, '\n\na\n\n'), ['', '', 'a', ''])
  t.strictSame(await read(10, 'a', 'b\nc', '', '\n', 'd'), ['ab', 'c', 'd'])
  t.strictSame(await read(10, 'a\r\nb\rc'), ['a\r', 'b\rc'])
})

t.test('a line that is too long is left out, and those after it are read', async (t) => {
  t.strictSame(await read(3, 'abc\nabcd\nef\n'), ['abc', null, 'ef'])
  t.strictSame(await read(3, 'ab', 'cd', 'efgh', 'ij\nkl', '\nmnop'), [null, 'kl', null])
})

t.test('each line has its number and where it ends', async (t) => {
  const lines = await collect(readLines(chunks(['ä\nlong', ' line\n', '\nx']), 4))
  t.strictSame(
    lines.map(({ number, endByte }) => [number, endByte]),
    [
      [1, 3],
      [2, 13],
      [3, 14],
      [4, 15],
    ],
  )
})

t.test('a line that never ends takes no memory', async (t) => {
  const chunk = Buffer.alloc(1024 * 1024, 'a')
  let heldBytes = 0
  async function* endless() {
    for (let n = 0; n < 512; n += 1) {
      yield Buffer.from(chunk)
      if (n % 128 === 127) {
        globalThis.gc?.()
        heldBytes = Math.max(heldBytes, process.memoryUsage().arrayBuffers)
      }
    }
  }
  const lines = await collect(readLines(endless(), 64 * 1024))
  t.strictSame(
    lines.map(({ bytes }) => bytes),
    [null],
  )
  t.ok(heldBytes < 256 * 1024 * 1024, `${heldBytes} bytes`)
})

t.test('how the stream is cut makes no difference', async () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '\n', 'ä', '😀') })
  const cuts = fc.array(fc.nat({ max: 8 }), { minLength: 1 })
  await fc.assert(
    fc.asyncProperty(text, cuts, async (text, cuts) => {
      const bytes = Buffer.from(text)
      const parts: Buffer[] = []
      for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
        const length = (cuts[turn % cuts.length] ?? 0) + (turn % 2)
        parts.push(bytes.subarray(at, at + length))
        at += length
      }
      const lines = await collect(readLines(chunks(parts), 1000))
      const expected = text.split('\n')
      if (expected.at(-1) === '') expected.pop()
      return lines.map(({ bytes }) => bytes?.toString()).join('|') === expected.join('|')
    }),
  )
})
