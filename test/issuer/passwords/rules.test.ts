import t from 'tap'
import { checkPassword } from '../../../src/issuer/passwords/rules.ts'

const accepted = ['12345678', ' '.repeat(8), '\0'.repeat(8), 'äöü€1', '😀😀', 'a'.repeat(1024)]
const refused = ['', '1234567', 'äöü', '😀abc', 'a'.repeat(1025), '€'.repeat(342), 'abcdefgh\ud800']

t.test('8 to 1,024 bytes of any characters', async (t) => {
  for (const password of accepted) t.doesNotThrow(() => checkPassword(password), password)
})

t.test('all else is refused, and not repeated in the message', async (t) => {
  for (const password of refused) {
    t.throws(() => checkPassword(password), { code: 'password_invalid', status: 422 })
  }
  t.throws(() => checkPassword('hunter2'), { message: /^(?!.*hunter2)/ })
})
