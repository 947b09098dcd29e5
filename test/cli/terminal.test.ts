import { Readable } from 'node:stream'
import t from 'tap'
import { readPiped } from '../../src/cli/terminal.ts'

/** Reads bytes, one per chunk, as from standard input. */
function read(bytes: Buffer, maxBytes?: number): Promise<string> {
  const chunks = Array.from(bytes, (byte) => Buffer.from([byte]))
  return readPiped(Readable.from(chunks) as unknown as NodeJS.ReadStream, maxBytes)
}

t.test('piped text is UTF-8 without a byte order mark and the last line break', async (t) => {
  for (const end of ['', '\n', '\r\n']) {
    t.equal(await read(Buffer.from(`\ufeffcafé 😀${end}`)), 'café 😀')
  }
  t.equal(await read(Buffer.from('one\ntwo\n\n')), 'one\ntwo\n')
  t.equal(await read(Buffer.from('ab😀'), 3), 'ab', 'it is cut at a character')
})

t.test('a password in another encoding is refused, not changed', async (t) => {
  for (const bytes of [Buffer.from('café!', 'latin1'), Buffer.from('é').subarray(0, 1)]) {
    await t.rejects(read(bytes), { code: 'request_invalid', detail: /UTF-8/ })
  }
})
