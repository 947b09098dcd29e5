import t from 'tap'
import { decodeBase64url } from '../../src/tokens/base64url.ts'
import fc from '../support/properties.ts'

t.test('reads what was written in the canonical form', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const text = Buffer.from(bytes).toString('base64url')
      return decodeBase64url(text)?.equals(bytes) === true
    }),
  )
  t.equal(decodeBase64url('')?.length, 0)
})

t.test('two texts never stand for the same bytes', async () => {
  const alphabet = [...'ABCDEFGHabcdefgh0123456789-_+/= \n.Āé']
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...alphabet), { maxLength: 12 }), (characters) => {
      const text = characters.join('')
      const bytes = decodeBase64url(text)
      return bytes === null || bytes.toString('base64url') === text
    }),
    { numRuns: 2000 },
  )
})

t.test('refuses every other form', async (t) => {
  const refused = {
    padding: 'AA==',
    'white space': ' AAAA',
    'a line break': 'AAAA\n',
    'the alphabet of base64': '+/+/',
    'a length of 1 modulo 4': 'AAAAA',
    'unused bits that are not zero': 'AB',
    'a dot': 'AA.AA',
    'a character above ASCII whose low byte is a letter': 'AAA\u0141',
    'a null character': 'AAA\0',
  }
  for (const [what, text] of Object.entries(refused)) t.equal(decodeBase64url(text), null, what)
})
