import t from 'tap'
import { replaceTexts } from '../support/replace-texts.ts'

t.test('a replacement that contains another text stays as it is', async (t) => {
  const ports = { 'listen 443': 'listen 127.0.0.1:30004', '127.0.0.1:3000': '127.0.0.1:35301' }
  t.equal(
    replaceTexts('listen 443; pass 127.0.0.1:3000; or 127.0.0.1:3000', ports),
    'listen 127.0.0.1:30004; pass 127.0.0.1:35301; or 127.0.0.1:35301',
  )
  t.equal(replaceTexts('a b', { a: 'b', b: 'a' }), 'b a')
  t.equal(replaceTexts('a b', {}), 'a b')
})
