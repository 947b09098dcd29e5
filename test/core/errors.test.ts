import t from 'tap'
import { GatepassError, isGatepassError } from '../../src/core/errors.ts'

t.test('there is no error with an unknown code', async (t) => {
  for (const unknown of ['token_expird', 'toString', undefined]) {
    const error = { name: 'TypeError', message: `There is no error code ${unknown}.` }
    t.throws(() => new GatepassError(unknown as never), error)
    t.throws(() => new GatepassError(unknown as never, { detail: 'A text.' }), error)
  }
})

t.test('an error of another copy of the module is known', async (t) => {
  const copy: typeof import('../../src/core/errors.ts') = await import(
    `${import.meta.resolve('../../src/core/errors.ts')}?copy`
  )
  const error = new copy.GatepassError('token_expired')
  t.notOk(error instanceof GatepassError)
  t.ok(isGatepassError(error))
  t.ok(isGatepassError(error, 'token_expired'))
  t.notOk(isGatepassError(error, 'token_revoked'))
  for (const other of [new Error('other'), { code: 'token_expired' }, undefined, null]) {
    t.notOk(isGatepassError(other))
  }
})

t.test('the codes of isGatepassError narrow the type, and leave the other errors', async (t) => {
  const isFinal = (error: GatepassError): boolean => {
    if (isGatepassError(error, 'token_expired', 'token_not_yet_valid')) {
      const code: 'token_expired' | 'token_not_yet_valid' = error.code
      return code === 'token_not_yet_valid'
    }
    return error.status === 401
  }
  const codes = ['token_expired', 'token_not_yet_valid', 'token_revoked'] as const
  const answers = codes.map((code) => isFinal(new GatepassError(code)))
  t.same(answers, [false, true, true])
})
