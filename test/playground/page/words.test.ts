import t from 'tap'
import { auditEvents } from '../../../src/issuer/audit.ts'
import { eventWords } from '../../../src/playground/page/words.ts'

t.test('the page has words for each audit event, and for no other', async (t) => {
  t.same(Object.keys(eventWords).sort(), [...auditEvents].sort())
  for (const [event, words] of Object.entries(eventWords)) t.match(words, /^[a-z].{5,}/, event)
})
