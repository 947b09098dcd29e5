import t from 'tap'
import { GatepassError } from '../../src/core/errors.ts'

t.test('there is no error with an unknown code', async (t) => {
  const unknown = 'token_expird' as never
  t.throws(() => new GatepassError(unknown), TypeError)
  t.throws(() => new GatepassError(unknown, { detail: 'A text.' }), TypeError)
})
