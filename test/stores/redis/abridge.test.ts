import t from 'tap'
import { abridge, unabridge } from '../../../src/stores/redis/abridge.ts'
import fc from '../../support/properties.ts'

const chrome =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36'

t.test('the User-Agent of a browser becomes half as long', async (t) => {
  const browsers = [
    chrome,
    `${chrome} Edg/140.0.0.0`,
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15',
    'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
  ]
  for (const text of browsers) {
    t.ok(abridge(text).length < text.length, text)
    t.equal(unabridge(abridge(text)), text)
  }
  t.ok(abridge(chrome).length * 2 < chrome.length + 4, abridge(chrome))
})

t.test('what was stored before is read as it was', async (t) => {
  t.equal(unabridge(chrome), chrome)
  t.equal(unabridge(abridge('curl/8.5.0')), 'curl/8.5.0')
})

t.test('property: any text comes back, that of the marks too', async () => {
  const piece = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.constantFrom('\x7f', '\x7fM', 'M', 'K', chrome, 'Mozilla/5.0 ('),
  )
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      const text = pieces.join('')
      return unabridge(abridge(text)) === text
    }),
  )
})
